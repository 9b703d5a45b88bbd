#!/bin/bash
# usage: embed_migrations.sh FILE.sql...   prints C++ that defines topiary::SqliteMigrations()
# The files are named NNNN_what.sql, numbered from 0001 without gaps.
set -euo pipefail

echo '#include "server/jobs/sqlite_migrations.h"'
echo 'namespace topiary {'
echo 'absl::Span<const Migration> SqliteMigrations() {'
echo '  static constexpr Migration kMigrations[] = {'
expected=1
for file in $(printf '%s\n' "$@" | sort); do
  name=$(basename "$file" .sql)
  version=$((10#${name%%_*}))
  if [ "$version" -ne "$expected" ]; then
    echo "$file: expected number $expected" >&2
    exit 1
  fi
  expected=$((expected + 1))
  echo "    {$version, \"$name\", R\"sql("
  cat "$file"
  echo ')sql"},'
done
echo '  };'
echo '  return kMigrations;'
echo '}'
echo '}  // namespace topiary'

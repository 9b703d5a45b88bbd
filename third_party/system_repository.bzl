"""A repository for libraries that Debian installed: it has targets and no files.

The compiler finds their headers in /usr/include and the linker their files in its default path, so
that a target is only a set of linker flags under the name that upstream's own Bazel build uses.
"""

def _system_repository_impl(context):
    context.file("WORKSPACE", "workspace(name = \"%s\")\n" % context.name)
    context.symlink(context.attr.build_file, "BUILD.bazel")
    for package, targets in context.attr.aliases.items():
        lines = ["package(default_visibility = [\"//visibility:public\"])\n"]
        for target in targets:
            lines.append("alias(name = \"%s\", actual = \"%s\")\n" % (target, context.attr.alias_of))
        context.file(package + "/BUILD.bazel", "".join(lines))

system_repository = repository_rule(
    implementation = _system_repository_impl,
    attrs = {
        "build_file": attr.label(mandatory = True, doc = "The BUILD file of the root package."),
        "aliases": attr.string_list_dict(doc = "package -> targets, each an alias of `alias_of`."),
        "alias_of": attr.string(doc = "The target in the root package behind each alias."),
    },
    local = True,
    doc = "Targets for libraries of the system.",
)

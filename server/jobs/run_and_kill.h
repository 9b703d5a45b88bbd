#ifndef TOPIARY_SERVER_JOBS_RUN_AND_KILL_H_
#define TOPIARY_SERVER_JOBS_RUN_AND_KILL_H_

#include <string>
#include <vector>

namespace topiary {

// For durability tests. Runs `program` (a path, then its arguments), sends it SIGKILL once it has
// written `lines` lines to standard output and error, and returns all that it wrote, line by line.
// The test fails if the program ends by itself.
std::vector<std::string> RunAndKill(const std::vector<std::string>& program, int lines);

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_RUN_AND_KILL_H_

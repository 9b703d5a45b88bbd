#ifndef TOPIARY_SERVER_RANDOM_ID_H_
#define TOPIARY_SERVER_RANDOM_ID_H_

#include <string>

namespace topiary {

// `letters` characters of [a-z2-7], five random bits each, from the system's generator for secrets.
std::string RandomId(int letters);

}  // namespace topiary

#endif  // TOPIARY_SERVER_RANDOM_ID_H_

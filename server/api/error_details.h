#ifndef TOPIARY_SERVER_API_ERROR_DETAILS_H_
#define TOPIARY_SERVER_API_ERROR_DETAILS_H_

#include "absl/status/status.h"

// What the contract promises about errors: each has exactly one google.rpc.ErrorInfo and, where it
// applies, BadRequest, PreconditionFailure, QuotaFailure and RetryInfo.
namespace topiary {

// ErrorInfo.domain of every error.
inline constexpr char kErrorDomain[] = "topiary.v1";

// Reasons that only the edge gives; the others are in server/jobs/status_reason.h.
inline constexpr char kReasonInvalidRequest[] = "INVALID_REQUEST";
inline constexpr char kReasonServerBusy[] = "SERVER_BUSY";

inline constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";
inline constexpr char kBadRequestUrl[] = "type.googleapis.com/google.rpc.BadRequest";
inline constexpr char kPreconditionFailureUrl[] =
    "type.googleapis.com/google.rpc.PreconditionFailure";
inline constexpr char kQuotaFailureUrl[] = "type.googleapis.com/google.rpc.QuotaFailure";
inline constexpr char kRetryInfoUrl[] = "type.googleapis.com/google.rpc.RetryInfo";

// `status` with the details that its reason and metadata (status_reason.h) call for, as payloads
// under their type URLs, and without the payloads that are only ours. An error without a reason
// gets one after its code, as "DEADLINE_EXCEEDED". INTERNAL, UNKNOWN and DATA_LOSS errors of the
// stores keep their message. OK stays OK.
absl::Status WithErrorDetails(const absl::Status& status);

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_ERROR_DETAILS_H_

#include "worker/engine/gradient_tape.h"

#include "common/check.h"
#include "common/status_macros.h"

namespace topiary {

void GradientTape::SetDestination(const std::string& value, const TensorRef& memory, int uses) {
  CHECK(Requires(value)) << value;
  destinations_.insert({value, {memory, uses}});
}

void GradientTape::Record(const std::string& result, const std::string& label, Backward backward) {
  if (Requires(result)) entries_.push_back({result, label, std::move(backward)});
}

absl::Status GradientTape::Run() {
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (terms_.count(entry->result) == 0) continue;
    emitter_->set_label(entry->label);
    RETURN_IF_ERROR(entry->backward());
  }
  for (const auto& [value, destination] : destinations_) {
    emitter_->set_label(value);
    RETURN_IF_ERROR(Finish(value, destination));
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorRef> GradientTape::Add(const TensorRef& a, const TensorRef& b,
                                            std::optional<TensorRef> into) {
  OperationOutput output{a.description, std::move(into)};
  ASSIGN_OR_RETURN(
      std::vector<TensorRef> sum,
      emitter_->Emit({OpKind::kBinary, BinaryParameters(), {Keep(a), Keep(b)}, {output}}));
  return sum[0];
}

absl::StatusOr<std::vector<TensorRef>> GradientTape::Terms(const std::string& value,
                                                           const Layout& layout) {
  std::vector<Term> terms = std::move(terms_[value]);
  terms_.erase(value);
  CHECK(!terms.empty()) << "no gradient of " << value;
  const Layout target = layout.is_any() ? terms[0].ref.layout() : layout;
  std::vector<TensorRef> refs;
  for (const Term& term : terms) {
    ASSIGN_OR_RETURN(TensorRef ref, emitter_->InLayout(term.ref, target));
    if (refs.size() < 2) {
      refs.push_back(std::move(ref));
    } else {
      ASSIGN_OR_RETURN(refs[1], Add(refs[1], ref, std::nullopt));
    }
  }
  return refs;
}

absl::StatusOr<TensorRef> GradientTape::Total(const std::string& value, const Layout& layout) {
  ASSIGN_OR_RETURN(std::vector<TensorRef> terms, Terms(value, layout));
  if (terms.size() == 1) return terms[0];
  return Add(terms[0], terms[1], std::nullopt);
}

OperationOutput GradientTape::Output(const std::string& value,
                                     const TensorDescription& description) const {
  const auto destination = destinations_.find(value);
  if (destination == destinations_.end() || destination->second.uses != 1) {
    return {description, std::nullopt};
  }
  TensorRef memory = destination->second.memory;
  memory.description.shape = description.shape;
  return {description, memory};
}

absl::Status GradientTape::AddTerm(const std::string& value, TensorRef ref, bool exclusive) {
  const auto shape = shapes_.find(value);
  if (shape == shapes_.end()) return absl::OkStatus();
  ASSIGN_OR_RETURN(ref, emitter_->View(ref, shape->second));
  terms_[value].push_back({std::move(ref), exclusive});
  return absl::OkStatus();
}

absl::Status GradientTape::Deliver(const std::string& value, const TensorRef& term) {
  return AddTerm(value, term, true);
}

absl::Status GradientTape::DeliverShared(const std::string& value, const TensorRef& term) {
  const auto terms = terms_.find(value);
  if (terms != terms_.end()) {
    for (Term& other : terms->second) other.exclusive &= other.ref.buffer != term.buffer;
  }
  return AddTerm(value, term, false);
}

absl::Status GradientTape::EmitTerm(const std::string& value, Operation operation,
                                    const TensorDescription& description,
                                    std::optional<OpParameters> accumulating) {
  const auto terms = terms_.find(value);
  if (accumulating.has_value() && terms != terms_.end() && terms->second.size() == 1 &&
      terms->second[0].exclusive && terms->second[0].ref.layout().is_plain()) {
    Operation adding = operation;
    adding.parameters = *std::move(accumulating);
    TensorRef into = terms->second[0].ref;
    into.description.shape = description.shape;
    adding.outputs = {{into.description, into}};
    const auto added = emitter_->Emit(adding);
    if (added.ok() || !absl::IsUnimplemented(added.status())) return added.status();
  }
  operation.outputs = {Output(value, description)};
  ASSIGN_OR_RETURN(const std::vector<TensorRef> results, emitter_->Emit(operation));
  return Deliver(value, results[0]);
}

absl::Status GradientTape::Finish(const std::string& value, const Destination& destination) {
  if (terms_.count(value) == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<TensorRef> terms, Terms(value, Layout::Plain()));
  if (terms.size() == 2) return Add(terms[0], terms[1], destination.memory).status();
  if (terms[0].buffer == destination.memory.buffer) return absl::OkStatus();
  return emitter_->CopyInto(terms[0], destination.memory);
}

}  // namespace topiary

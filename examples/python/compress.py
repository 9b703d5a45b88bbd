#!/usr/bin/python3
"""Prunes a model through a Topiary server: uploads, submits, watches, downloads.

    ./make_stubs stubs
    PYTHONPATH=stubs ./compress.py --model m.onnx --train d.npz --sparsity 0.9 --out result

Needs Debian's python3-grpcio and python3-protobuf, nothing else.
"""
import argparse
import hashlib
import pathlib
import sys
import uuid

import grpc
from topiary.v1 import artifacts_pb2, artifacts_pb2_grpc, jobs_pb2, jobs_pb2_grpc

CHUNK = 512 * 1024


def upload(artifacts, project, path, kind):
    """Sends what the server lacks of a file, and returns its digest."""
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    begin = artifacts_pb2.BeginUploadRequest(parent=project, digest=digest, size_bytes=len(data),
                                             kind=kind, display_name=path.name)
    upload = artifacts.BeginUpload(begin, timeout=30)
    if upload.HasField("artifact"):  # The server has these bytes already.
        return digest
    chunks = (artifacts_pb2.WriteUploadRequest(name=upload.name, offset=at, data=data[at:at + CHUNK])
              for at in range(upload.committed_bytes, len(data), CHUNK))
    artifacts.WriteUpload(chunks, timeout=600)
    artifacts.FinishUpload(artifacts_pb2.FinishUploadRequest(name=upload.name), timeout=60)
    return digest


def watch(jobs, name):
    """Prints the job's events until it has ended; a lost connection loses none."""
    seen = 0
    while True:
        try:
            request = jobs_pb2.WatchJobRequest(name=name, after_sequence=seen)
            for event in jobs.WatchJob(request, timeout=3600):
                seen = event.sequence
                if event.HasField("state_change"):
                    print(jobs_pb2.JobState.Name(event.state_change.state))
                else:
                    progress = event.progress
                    print(f"{progress.phase}: step {progress.step} of {progress.total_steps}, "
                          f"loss {progress.loss:.4f}, sparsity {progress.sparsity:.3f}")
            return jobs.GetJob(jobs_pb2.GetJobRequest(name=name), timeout=30)
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.UNAVAILABLE,
                                    grpc.StatusCode.DEADLINE_EXCEEDED):
                raise


def download(artifacts, project, file, folder):
    """Writes one result file, if its bytes are those of its digest."""
    request = artifacts_pb2.ReadArtifactRequest(name=f"{project}/artifacts/{file.digest}")
    data = b"".join(answer.data for answer in artifacts.ReadArtifact(request, timeout=600))
    if hashlib.sha256(data).hexdigest() != file.digest:
        raise RuntimeError(f"{file.filename} was damaged on the way")
    path = folder / pathlib.Path(file.filename).name
    path.write_bytes(data)
    print(f"wrote {path}, {len(data)} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", default="localhost:7070")
    parser.add_argument("--project", default="default")
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--train", type=pathlib.Path, required=True, help="a .npz with x and y")
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("."))
    flags = parser.parse_args()
    project = f"projects/{flags.project}"
    with grpc.insecure_channel(flags.server) as channel:
        artifacts = artifacts_pb2_grpc.ArtifactServiceStub(channel)
        jobs = jobs_pb2_grpc.CompressionServiceStub(channel)
        request = jobs_pb2.CreateJobRequest(parent=project, request_id=uuid.uuid4().hex)
        request.spec.model.files.add(path=flags.model.name, digest=upload(
            artifacts, project, flags.model, artifacts_pb2.ARTIFACT_KIND_MODEL))
        request.spec.data.train.npz.digest = upload(
            artifacts, project, flags.train, artifacts_pb2.ARTIFACT_KIND_DATA)
        request.spec.target.sparsity = flags.sparsity
        request.spec.task.epochs = flags.epochs
        job = watch(jobs, jobs.CreateJob(request, timeout=30).name)
        if job.state != jobs_pb2.JOB_STATE_SUCCEEDED:
            sys.exit(f"the job did not succeed: {job.error.message}")
        flags.out.mkdir(parents=True, exist_ok=True)
        for file in job.result.files:
            download(artifacts, project, file, flags.out)


if __name__ == "__main__":
    main()

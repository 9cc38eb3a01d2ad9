"""The bundle's Dockerfile: the merged checkpoint served by vLLM, with no network."""

from __future__ import annotations

from string import Template

VLLM = "0.32.0"
"""Version of the image; the extra `vllm` of this project pins the same."""
LIMIT_BYTES = 200_000_000_000
"""Largest image that is accepted, as the contest had it."""
IMAGE_BYTES = 40_000_000_000
"""What the base image is counted with: more than it takes unpacked."""
PORT = 8000

_MAKE_IT = "#   sh reproduce.sh && mv merged checkpoint\n"
_DOCKERFILE = Template("""\
# Serves checkpoint/ with vLLM $vllm as an OpenAI-compatible server that needs no network and no root.
#
$origin#   docker build --network none --tag merge .
#   docker run --rm --name merge --network none --gpus all --shm-size 8g merge
#   docker exec merge python3 -c "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:$port/v1/models').read())"
#
# Image and checkpoint together may take at most $limit GB, the image counted as $image GB: a checkpoint of
# at most $most GB. $size
FROM vllm/vllm-openai:v$vllm

# Nothing is looked up, nobody is told, and the only interface there may be is the loopback.
ENV HF_HUB_OFFLINE=1 \\
    TRANSFORMERS_OFFLINE=1 \\
    HF_HUB_DISABLE_TELEMETRY=1 \\
    VLLM_NO_USAGE_STATS=1 \\
    DO_NOT_TRACK=1 \\
    VLLM_HOST_IP=127.0.0.1 \\
    GLOO_SOCKET_IFNAME=lo \\
    HOME=/tmp \\
    USER=vllm

COPY --chown=2000:0 checkpoint/ /checkpoint/

# torch asks for the user's name and for a place for its caches: USER and HOME above answer for any uid.
USER 2000:0
EXPOSE $port
HEALTHCHECK --interval=15s --timeout=5s --start-period=15m --retries=3 \\
    CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:$port/health', timeout=4)"]
ENTRYPOINT ["vllm", "serve", "/checkpoint", "--served-model-name", "merge", "--dtype", "$dtype", "--port", "$port"]
CMD []
""")


def dockerfile(checkpoint_bytes: int, dtype: str, *, has_checkpoint: bool) -> str:
    """The Dockerfile's text.

    checkpoint_bytes: of the merged tensors. dtype: torch's name of theirs. has_checkpoint: whether checkpoint/ lies
    beside it; the header says how to make it otherwise.
    """
    fits = "This one takes" if fits_container(checkpoint_bytes) else "Too large: this one takes"
    return _DOCKERFILE.substitute(
        vllm=VLLM,
        port=PORT,
        origin="" if has_checkpoint else _MAKE_IT,
        limit=_gigabytes(LIMIT_BYTES),
        image=_gigabytes(IMAGE_BYTES),
        most=_gigabytes(LIMIT_BYTES - IMAGE_BYTES),
        size=f"{fits} {_gigabytes(checkpoint_bytes)} GB.",
        dtype=dtype,
    )


def fits_container(checkpoint_bytes: int) -> bool:
    """Whether image and checkpoint stay within LIMIT_BYTES."""
    return checkpoint_bytes + IMAGE_BYTES <= LIMIT_BYTES


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.3g}"

# NightFix for servers without a GPU. Build it in the repository:
#
#   docker build -t nightfix .
#   docker run --rm --network none -u "$(id -u):$(id -g)" -v "$PWD:/photos" nightfix enhance -r card/ -o restored/
#
# podman and buildah take the same. The weights are inside; nothing is fetched when it runs.

ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
# PyTorch for processors only, without gigabytes of CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python3 -m venv /opt/nightfix
COPY pyproject.toml README.md LICENSE /src/
COPY nightfix /src/nightfix
COPY weights/*.safetensors /src/weights/
RUN /opt/nightfix/bin/pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" /src

FROM ${BASE}
COPY --from=build /opt/nightfix /opt/nightfix
# Any user may run it, so that results belong to whoever called; such a one has no home.
ENV PATH=/opt/nightfix/bin:$PATH HOME=/tmp HF_HUB_OFFLINE=1
RUN nightfix --version
USER nobody
WORKDIR /photos
ENTRYPOINT ["nightfix"]
CMD ["--help"]

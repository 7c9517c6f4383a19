# From the top of the checkout: docker build -f .ci/docker/cuda.Dockerfile -t quern-cuda .
#   docker run --rm --gpus all quern-cuda build/release/tools/quern env
FROM nvidia/cuda:12.8.1-devel-ubuntu22.04
WORKDIR /quern
COPY . .
RUN examples/story.sh && rm -rf /var/lib/apt/lists/*
RUN tests/run.sh
CMD ["examples/story.sh"]

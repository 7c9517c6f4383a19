# From the top of the checkout: docker build -f .ci/docker/cpu.Dockerfile -t quern .
#   docker run --rm quern examples/story.sh
FROM debian:12
WORKDIR /quern
COPY . .
RUN examples/story.sh && rm -rf /var/lib/apt/lists/*
RUN tests/run.sh
CMD ["examples/story.sh"]

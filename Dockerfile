# Both commands of README.md in a container, on x86-64 and arm64:
#   docker build -t bnbook . && docker run bnbook              make reproduce
#   docker run bnbook make test
FROM docker.io/library/python:3.11-slim-bookworm AS tools
# What `make` asks for; for the tests a browser with Korean letters, and what the program that steers it needs
# (as in .ci/run).
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends git make chromium-headless-shell libatomic1 fonts-nanum \
    && rm -rf /var/lib/apt/lists/*

FROM tools
WORKDIR /bnbook
COPY . .
RUN make .venv/installed
CMD ["make", "reproduce"]

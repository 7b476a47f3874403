# Prometheus and Alertmanager from Debian, where no registry is within reach; TARGET is one of the two programs.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
ARG TARGET
RUN apt-get update -qq && apt-get install -yqq --no-install-recommends ${TARGET} >/dev/null && rm -rf /var/lib/apt/lists/* \
    && ln -s /usr/bin/${TARGET} /entry
ENTRYPOINT ["/entry"]

# Three images of one project: `serve` answers requests and has what the serving app needs and no more; `steps` runs
# everything else in a cluster: steps, pipelines, MLflow's server; `sagemaker` is `steps` as root, for AWS.
#
#   make image                        builds all
#   docker build --target serve .     builds one
#
# Tests of packages are left out: a tenth of each. BASE is any image of Python 3.11 to 3.13 on glibc with pip; a cluster without a registry names its own.
ARG BASE=pinned

# Named in a FROM, where Dependabot reads it.
FROM python:3.11-slim-bookworm AS pinned

FROM ${BASE} AS packages
# Compiled once, here, and checked against no clock: the same lock file makes the same layers.
ENV UV_COMPILE_BYTECODE=1 PYC_INVALIDATION_MODE=UNCHECKED_HASH PYTHONHASHSEED=0 UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=1 UV_PROJECT_ENVIRONMENT=/app/.venv
RUN python3 -m pip install --no-cache-dir --quiet uv==0.13.8
WORKDIR /app
COPY pyproject.toml uv.lock ./

FROM packages AS serve-packages
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-default-groups --only-group serve --only-group features --quiet \
    && find .venv -type d -name tests -prune -exec rm -rf {} +

FROM packages AS steps-packages
# EXTRAS="--extra torch" adds what networks need (4.5 GB with a GPU's libraries).
ARG EXTRAS=""
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-default-groups --no-install-project --group image --group model \
    --extra aws --extra kubernetes ${EXTRAS} --quiet \
    && find .venv -type d -name tests -prune -exec rm -rf {} +

FROM scratch AS code
COPY pyproject.toml uv.lock cloud.toml /app/
COPY releases /app/releases
COPY monitoring /app/monitoring
COPY pipelines /app/pipelines
COPY model /app/model

FROM ${BASE} AS common
ARG NAME VERSION=0 REVISION="" SOURCE="" CREATED=""
LABEL org.opencontainers.image.title=${NAME} org.opencontainers.image.version=${VERSION} \
    org.opencontainers.image.revision=${REVISION} org.opencontainers.image.source=${SOURCE} \
    org.opencontainers.image.created=${CREATED} org.opencontainers.image.licenses=Apache-2.0
# All that a process may write is below /tmp, so the root file system can be mounted read-only.
ENV PATH=/app/.venv/bin:${PATH} PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOME=/tmp RATCHET_HOME=/tmp/home RATCHET_COMMIT=${REVISION}
WORKDIR /app
# The commands of pyproject.toml's [project.scripts], by which SageMaker and people start the image.
RUN printf '#!/bin/sh\nexec python -m pipelines.entrypoints.cli "$@"\n' >/usr/local/bin/mlops \
    && for name in serve train job; do \
        printf '#!/bin/sh\nexec python -c "from pipelines.entrypoints.container import %s; %s()" "$@"\n' $name $name >/usr/local/bin/$name; \
    done && chmod 755 /usr/local/bin/mlops /usr/local/bin/serve /usr/local/bin/train /usr/local/bin/job
# The user has no name of its own, whatever number it is given; what a person would be called in records is this.
ENV USER=container
USER 10001:10001

FROM common AS steps
COPY --from=steps-packages /app/.venv /app/.venv
COPY --from=code /app /app
CMD ["mlops", "--help"]

# SageMaker starts containers as root, and lets nobody else write below /opt/ml: outputs, checkpoints
# (https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-dockerfile.html). Lambda has its own user.
FROM steps AS sagemaker
USER 0:0

FROM common AS serve
COPY --from=serve-packages /app/.venv /app/.venv
COPY --from=code /app /app
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/live', timeout=2)"]
CMD ["serve"]

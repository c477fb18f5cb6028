# The images of the server. Targets:
#
#   common   frontend, broker, garbage-collector, object-store, standalone: with the drivers of all back-ends
#   worker   the same, and the libraries of the data sources (WORKER_STACK)
#   common-development, worker-development   the same, and the process starts again when its code changes
#
#   docker build --target common --tag polytope-common .
#
# Arguments, all of them optional:
#
#   BASE_IMAGE      any image with Debian's or Docker's Python, 3.11 or later, with pip and venv; a tag may mean another
#                   image tomorrow, NAME@sha256:... does not (polytope-deployment/build-images resolves it)
#   PIP_INDEX_URL   a mirror of the Python index, for sites without a way to the public one
#   WORKER_STACK    worker (FDB), worker-features (and feature extraction; the default), or worker-mir (and MIR)
#   VERSION, REVISION, SOURCE   labels
#
# Secrets, which leave nothing in the images (docs/operators/images.md):
#
#   --secret id=ca,src=site-ca.pem       certificates that pip is to trust, instead of its own
#   --secret id=pip,src=pip.conf         a configuration of pip, for a mirror that wants a password

ARG BASE_IMAGE=python:3.11-slim-bookworm

# ---- what builds ---------------------------------------------------------------
FROM ${BASE_IMAGE} AS build
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends binutils
COPY polytope-deployment/images/pip-install requirements/build.lock ./
RUN python3 -m venv tools && python3 -m venv --without-pip /opt/polytope \
    && echo /opt/polytope/server > "$(/opt/polytope/bin/python -c \
       'import sysconfig; print(sysconfig.get_path("purelib"))')/polytope-server.pth"
RUN --mount=type=secret,id=ca --mount=type=secret,id=pip --mount=type=cache,target=/root/.cache/pip \
    ./pip-install tools/bin/python build.lock

FROM build AS common-libraries
COPY requirements/common.lock ./
RUN --mount=type=secret,id=ca --mount=type=secret,id=pip --mount=type=cache,target=/root/.cache/pip \
    ./pip-install /opt/polytope/bin/python common.lock

FROM common-libraries AS worker-libraries
ARG WORKER_STACK=worker-features
COPY requirements/${WORKER_STACK}.lock ./
RUN --mount=type=secret,id=ca --mount=type=secret,id=pip --mount=type=cache,target=/root/.cache/pip \
    ./pip-install /opt/polytope/bin/python "${WORKER_STACK}.lock"

# The server itself lies apart from what it needs: a change of it is one small layer, at a path that names no
# version of Python.
FROM build AS server
COPY LICENSE README.md pyproject.toml setup.py ./
COPY polytope_server polytope_server
RUN tools/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir wheels . \
    && tools/bin/python -m pip --python /opt/polytope/bin/python install --quiet --no-deps --no-index \
       --target /opt/polytope/server wheels/*.whl

FROM build AS reload
COPY requirements/development.lock ./
RUN --mount=type=secret,id=ca --mount=type=secret,id=pip --mount=type=cache,target=/root/.cache/pip \
    ./pip-install /opt/polytope/bin/python development.lock --target /opt/polytope/reload
COPY polytope-deployment/images/reload.py /opt/polytope/reload/

# ---- what runs -----------------------------------------------------------------
FROM ${BASE_IMAGE} AS runtime
RUN groupadd --gid 10001 polytope \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/polytope --shell /usr/sbin/nologin \
       polytope \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/polytope
ENV PATH=/opt/polytope/server/bin:/opt/polytope/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    POLYTOPE_DATA=/var/lib/polytope \
    POLYTOPE_MANAGEMENT_PORT=8090
WORKDIR /var/lib/polytope
USER 10001:10001
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["polytope-server", "healthcheck"]
ENTRYPOINT ["polytope-server"]

FROM runtime AS common
COPY --from=common-libraries /opt/polytope /opt/polytope
COPY --from=server /opt/polytope/server /opt/polytope/server
ARG VERSION REVISION SOURCE
LABEL org.opencontainers.image.title="polytope-common" \
      org.opencontainers.image.description="REST access to the hypercubes of weather and climate archives" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"

FROM runtime AS worker
COPY --from=worker-libraries /opt/polytope /opt/polytope
COPY --from=server /opt/polytope/server /opt/polytope/server
ARG VERSION REVISION SOURCE
LABEL org.opencontainers.image.title="polytope-worker" \
      org.opencontainers.image.description="REST access to the hypercubes of weather and climate archives" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"

# ---- for development -----------------------------------------------------------
# Their user may write the code of the server, and needs a root file system that can be written.
FROM common AS common-development
USER root
COPY --from=reload /opt/polytope/reload /opt/polytope/reload
RUN chown -R 10001:10001 /opt/polytope/server
USER 10001:10001
ENTRYPOINT ["python3", "/opt/polytope/reload/reload.py"]

FROM worker AS worker-development
USER root
COPY --from=reload /opt/polytope/reload /opt/polytope/reload
RUN chown -R 10001:10001 /opt/polytope/server
USER 10001:10001
ENTRYPOINT ["python3", "/opt/polytope/reload/reload.py"]

# What a build without --target gives.
FROM worker

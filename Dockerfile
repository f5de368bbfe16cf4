# Serves the bundled weights on port 3000, as a user without rights, on a read-only file system:
#   docker build -t polyview .
#   docker run -p 3000:3000 --read-only --tmpfs /tmp -v polyview:/data polyview
# GPU: CUDA and cuDNN come as packages; add TensorRT for bundles with engines. Run with --gpus all.
#   docker build -t polyview:gpu --build-arg GROUP=serve-gpu [--build-arg TENSORRT=VERSION-OF-THE-10-SERIES] .
# Batches on a cluster: --build-arg GROUP=batch.
FROM python:3.11-slim AS packages
ARG GROUP=serve
ARG TENSORRT=
COPY requirements/${GROUP}.txt /requirements.txt
# The environment has no pip of its own: nothing can be installed into a running container.
RUN python -m venv --without-pip /venv \
 && pip --python /venv install --no-cache-dir --disable-pip-version-check -r /requirements.txt \
 && if [ -n "${TENSORRT}" ]; then \
      pip --python /venv install --no-cache-dir --disable-pip-version-check \
        --extra-index-url https://pypi.nvidia.com "tensorrt-cu13==${TENSORRT}"; \
    fi

FROM python:3.11-slim
RUN useradd --system --no-log-init --uid 1034 --user-group --home-dir /tmp polyview \
 && install --directory --owner=1034 --group=1034 /data
COPY --from=packages /venv /venv
WORKDIR /app
COPY service service
COPY weights weights
RUN /venv/bin/python -m compileall -q service
ENV PATH=/venv/bin:$PATH \
    LD_LIBRARY_PATH=/venv/lib/python3.11/site-packages/tensorrt_libs \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BENTOML_DO_NOT_TRACK=True \
    BENTOML_HOME=/tmp/bentoml \
    POLYVIEW_JOBS=/data/jobs \
    POLYVIEW_CALIBRATIONS=/data/calibrations
USER 1034:1034
VOLUME /data
EXPOSE 3000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/readyz', timeout=4)"]
CMD ["python", "-m", "service", "serve", "--host", "0.0.0.0", "--port", "3000"]

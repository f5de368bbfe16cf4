# Serves the bundled weights on port 3000.
#   docker build -t polyview .                                CPU
#   docker build -t polyview --build-arg GROUP=serve-gpu .    GPU: CUDA and cuDNN come as packages; run with --gpus all
FROM python:3.11-slim AS packages
ARG GROUP=serve
COPY requirements/${GROUP}.txt /requirements.txt
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --disable-pip-version-check -r /requirements.txt

FROM python:3.11-slim
RUN useradd --system --uid 1034 --create-home polyview
COPY --from=packages /venv /venv
WORKDIR /app
COPY service service
COPY weights weights
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    BENTOML_DO_NOT_TRACK=True BENTOML_HOME=/tmp/bentoml POLYVIEW_JOBS=/home/polyview/jobs
USER polyview
EXPOSE 3000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
  CMD python -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/readyz', timeout=4)"
CMD ["python", "-m", "service", "serve", "--host", "0.0.0.0", "--port", "3000"]

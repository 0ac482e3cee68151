# The SuperLink as it is on PyPI, without root. Nothing of flora runs in it.
FROM python:3.12-slim
RUN pip install --no-cache-dir flwr==1.42.0 && useradd --system --uid 10001 --create-home --home-dir /var/lib/flower flower
USER flower
WORKDIR /var/lib/flower
ENV FLWR_HOME=/var/lib/flower/home FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1 PYTHONUNBUFFERED=1
ENTRYPOINT ["flower-superlink"]

#!/bin/sh
# HAProxy as Ray Serve starts it (RAY_SERVE_HAPROXY_BINARY_PATH), with two of Serve's settings
# changed. Serve turns every 502, 503 and 504 into a 500, and answers 404 while it knows no replica
# yet: neither is tried again by usual clients, and both pass. LOGDET_HAPROXY is the real one.
set -eu
before=
for argument in "$@"; do
  if [ "$before" = -f ]; then
    sed -i \
      -e '/^ *errorfile 50[234] /d' \
      -e 's|^\( *http-request return status\) 404 .*|\1 503 content-type application/json hdr retry-after 1 string "{\\"error\\": \\"no replica can be reached yet; send the request again\\", \\"kind\\": \\"not_ready\\"}"|' \
      "$argument"
  fi
  before=$argument
done
exec "$LOGDET_HAPROXY" "$@"

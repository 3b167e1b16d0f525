# Varnish as far as Debian's packages go (varnish-modules for vsthrottle).
vcl 4.1;

import vsthrottle;

backend api {
    .host = "127.0.0.1";
    .port = "$upstream_port";
    .connect_timeout = 1s;
    .first_byte_timeout = ${timeout}s;
    .between_bytes_timeout = 2s;
}

sub vcl_recv {
    if (req.method == "PURGE") {
        return (purge);
    }
    return (hash);
}

sub vcl_hash {
    hash_data(req.url);
    hash_data(req.http.Authorization);
    return (lookup);
}

sub vcl_backend_fetch {
    # The gate that a 429 closes for a minute: its one permit is gone.
    if (vsthrottle.remaining("gate" + bereq.http.Authorization, 1, 60s) == 0) {
        return (error(503, "The API asked to wait"));
    }
    if (vsthrottle.is_denied("calls" + bereq.http.Authorization, $calls, ${window}s)) {
        return (error(503, "The limit is spent"));
    }
}

sub vcl_backend_response {
    set beresp.do_stream = false;
    unset beresp.http.Set-Cookie;
    if (beresp.status == 429) {
        if (vsthrottle.is_denied("gate" + bereq.http.Authorization, 1, 60s)) {
            # closed already
        }
    }
    if (bereq.is_bgfetch && (beresp.status == 429 || beresp.status >= 500)) {
        return (abandon);
    }
    if (beresp.status == 200 && beresp.http.Content-Type !~ "^application/json") {
        return (error(502, "Not JSON"));
    }
    if (beresp.status == 200) {
        set beresp.ttl = ${lifetime}s;
        set beresp.grace = 24h;
    } else if (beresp.status == 404) {
        set beresp.ttl = 10s;
        set beresp.grace = 0s;
    } else {
        set beresp.ttl = 1s;
        set beresp.grace = 0s;
    }
    return (deliver);
}

sub vcl_backend_error {
    # What failed behind a stale answer does not take its place.
    if (bereq.is_bgfetch) {
        return (abandon);
    }
    set beresp.http.Retry-After = "5";
    set beresp.ttl = 1s;
    set beresp.grace = 0s;
    return (deliver);
}

# Varnish as an expert would set it up in front of this API.
vcl 4.1;

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

sub vcl_backend_response {
    unset beresp.http.Set-Cookie;
    if (bereq.is_bgfetch && (beresp.status == 429 || beresp.status >= 500)) {
        return (abandon);
    }
    if (beresp.status == 200) {
        set beresp.ttl = ${lifetime}s;
        set beresp.grace = 24h;
    } else if (beresp.status == 404) {
        set beresp.ttl = 10s;
        set beresp.grace = 0s;
    } else {
        set beresp.ttl = 0s;
        set beresp.grace = 0s;
    }
    return (deliver);
}

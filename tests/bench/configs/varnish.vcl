# Varnish as an expert would: the credential is part of the key, cookies are no reason to pass.
vcl 4.1;

backend api {
    .host = "127.0.0.1";
    .port = "$upstream_port";
}

sub vcl_recv {
    return (hash);
}

sub vcl_hash {
    hash_data(req.url);
    hash_data(req.http.Authorization);
    return (lookup);
}

sub vcl_backend_response {
    unset beresp.http.Set-Cookie;
    set beresp.ttl = 1h;
    set beresp.grace = 24h;
    return (deliver);
}

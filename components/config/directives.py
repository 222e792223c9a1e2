"""The terms of Apache, nginx, HAProxy, Traefik and Caddy, for the errors about unknown keys.

From the documentation of Apache 2.4 (core, mod_proxy, mod_rewrite, mod_headers, mod_ssl),
nginx 1.28 and Caddy 2. Case, hyphens and underscores do not count.
"""

from collections.abc import Mapping

_STATIC = "a container has to serve files, such as one of nginx"
_REWRITES = "the application has to do it; strip_path removes the service's path"
_TLS = "HTTPS is for all services, in edge.tls"
_LOGS = "the edge logs every request as JSON; see docs/observability.md"
_STREAMS = "bodies pass as they come, without a buffer"
_KEPT = "connections are kept alive and reused"
_WEBSOCKETS = "WebSockets need no setting"
_FORWARDED = "the edge sets X-Forwarded-For and similar headers, and changes no others"
_RETRIES = "a failed GET, HEAD or OPTIONS is retried once, if there is another container"
_NO_LOGIC = "hosts and path alone decide which service gets a request"

_SERVICE: Mapping[str, str] = {
    **dict.fromkeys(("ServerName", "server_name", "VirtualHost", "site"), "hosts"),
    "ServerAlias": "hosts or http.aliases",
    **dict.fromkeys(("Location", "LocationMatch", "handle", "handle_path", "uri"), "path"),
    **dict.fromkeys(("ProxyPass", "ProxyPassMatch", "reverse_proxy"), "hosts, path and port"),
    **dict.fromkeys(("proxy_pass", "fastcgi_pass", "uwsgi_pass"), "hosts, path and port"),
    **dict.fromkeys(("backend", "frontend", "router", "routers", "rule"), "hosts, path and port"),
    **dict.fromkeys(("upstream", "BalancerMember", "server", "Proxy"), "replicas and port"),
    "stream": "tcp",
    "SetEnv": "env",
    **dict.fromkeys(("httpchk", "http_check", "health_check", "health_uri"), "health"),
    "Timeout": "http.timeout",
    "Require": "http.allow or http.basic_auth",
}
"""The keys to use instead, as paths below the service."""

_ABSENT: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("DocumentRoot", "Directory", "DirectoryIndex", "root", "index", "try_files"),
            *("autoindex", "file_server", "FallbackResource", "AliasMatch"),
        ),
        _STATIC,
    ),
    **dict.fromkeys(
        (
            "RewriteRule",
            "RewriteCond",
            "RewriteEngine",
            "RewriteBase",
            "RewriteMap",
            "rewrite",
            "return",
        ),
        _REWRITES,
    ),
    **dict.fromkeys(("sub_filter", "Substitute", "ProxyHTMLURLMap"), _REWRITES),
    **dict.fromkeys(
        ("ProxyPassReverse", "ProxyPassReverseCookieDomain", "ProxyPassReverseCookiePath"),
        "the application has to answer with the URLs that clients see",
    ),
    **dict.fromkeys(
        ("ProxyPreserveHost", "ProxyRequests"), "the application gets the client's Host"
    ),
    **dict.fromkeys(
        ("RequestHeader", "proxy_set_header", "header_up", "ProxyAddHeaders", "RemoteIPHeader"),
        _FORWARDED,
    ),
    **dict.fromkeys(("set_real_ip_from", "real_ip_header", "RemoteIPTrustedProxy"), _FORWARDED),
    **dict.fromkeys(
        (
            *("proxy_buffering", "proxy_buffers", "proxy_buffer_size", "proxy_request_buffering"),
            *("client_body_buffer_size", "proxy_busy_buffers_size", "ProxyIOBufferSize"),
        ),
        _STREAMS,
    ),
    **dict.fromkeys(
        ("LimitRequestFieldSize", "LimitRequestFields", "large_client_header_buffers"),
        "headers may have 64 KiB",
    ),
    **dict.fromkeys(("KeepAlive", "KeepAliveTimeout", "keepalive_timeout"), _KEPT),
    **dict.fromkeys(("proxy_http_version", "upgrade", "ProxyWebsocket"), _WEBSOCKETS),
    **dict.fromkeys(("proxy_next_upstream", "retries", "lb_try_duration"), _RETRIES),
    **dict.fromkeys(
        (
            *("SSLEngine", "SSLCertificateFile", "SSLCertificateKeyFile", "SSLProtocol"),
            *("SSLCipherSuite", "SSLProxyEngine", "ssl_certificate", "ssl_certificate_key"),
            *("ssl_protocols", "ssl_ciphers", "certresolver", "http2"),
        ),
        _TLS,
    ),
    **dict.fromkeys(
        ("CustomLog", "ErrorLog", "LogLevel", "LogFormat", "access_log", "error_log", "log_format"),
        _LOGS,
    ),
    **dict.fromkeys(("proxy_cache", "CacheEnable", "proxy_cache_path"), "the edge caches nothing"),
    **dict.fromkeys(
        ("acl", "use_backend", "map", "if", "geo", "SetEnvIf", "middlewares"), _NO_LOGIC
    ),
    **dict.fromkeys(("ServerAdmin", "ServerSignature", "ServerTokens"), "errors name no software"),
    **dict.fromkeys(("server_tokens", "ServerPath"), "errors name no software"),
    **dict.fromkeys(("entrypoints", "entrypoint_names"), "all HTTP comes in at edge.port"),
    **dict.fromkeys(
        ("limit_conn", "limit_conn_zone"), "the limit is for all services: edge.client_connections"
    ),
    "listen": "clients come through edge.port; port is the container's",
    "resolver": "the edge resolves no names",
}

_FILES_IN_TLS = "certificates for PEM files on the edge's host"
_FILES_AT_EDGE = f"tls.{_FILES_IN_TLS}"

_EDGE: Mapping[str, str] = {
    **dict.fromkeys(("worker_connections", "MaxRequestWorkers", "maxconn"), "max_connections"),
    **dict.fromkeys(("limit_conn", "maxconn_per_ip", "limit_conn_zone"), "client_connections"),
    "SSLEngine": "tls",
    **dict.fromkeys(("SSLCertificateFile", "SSLCertificateKeyFile"), _FILES_AT_EDGE),
    **dict.fromkeys(("ssl_certificate", "ssl_certificate_key"), _FILES_AT_EDGE),
    "acme": "tls.acme",
    **dict.fromkeys(("stub_status", "server_status", "stats_uri"), "stats"),
}

_OF_THE_EDGE: Mapping[str, str] = {
    **dict.fromkeys(("ssl", "https"), "tls"),
    **dict.fromkeys(("http_port", "ports"), "port"),
    "https_port": "tls.port",
    **dict.fromkeys(("certificate", "certificates", "cert", "crt"), _FILES_AT_EDGE),
    **dict.fromkeys(("key", "private_key"), _FILES_AT_EDGE),
    **dict.fromkeys(("certbot", "letsencrypt"), "tls.folder or tls.acme"),
    **dict.fromkeys(("address", "bind_ips"), "bind"),
    "listen": "port, or tls.port for HTTPS, and bind for the address",
    **dict.fromkeys(("metrics", "metrics_port", "statistics"), "stats"),
    **dict.fromkeys(("server", "machine"), "host"),
    "ssh_host_key": "host_key",
}

_TLS_KEYS: Mapping[str, str] = {
    "letsencrypt": "acme",
    "certbot": "folder or acme",
    **dict.fromkeys(("cert", "certificate", "certificate_pem", "crt"), _FILES_IN_TLS),
    **dict.fromkeys(("key", "private_key", "private_key_pem"), _FILES_IN_TLS),
    **dict.fromkeys(("SSLCertificateFile", "SSLCertificateKeyFile"), _FILES_IN_TLS),
    **dict.fromkeys(("ssl_certificate", "ssl_certificate_key"), _FILES_IN_TLS),
    "Strict-Transport-Security": "hsts",
}


_CERTIFICATE_FILES: Mapping[str, str] = {
    **dict.fromkeys(("cert", "certificate", "crt", "pem", "chain", "cert_file"), "fullchain"),
    **dict.fromkeys(("SSLCertificateFile", "ssl_certificate", "certFile"), "fullchain"),
    **dict.fromkeys(("key", "private_key", "key_file", "keyFile"), "privkey"),
    **dict.fromkeys(("SSLCertificateKeyFile", "ssl_certificate_key"), "privkey"),
}


def _of_http() -> Mapping[str, str]:
    """Return the same for keys that are written below `http`."""
    inside = {
        key: names.replace("http.", "")
        for key, names in _SERVICE.items()
        if names.startswith("http.") and " " not in names
    }
    return inside | {"Require": "allow or basic_auth"}


def _of_stack() -> Mapping[str, str]:
    whole = ("VirtualHost", "server", "upstream", "Location", "site", "ProxyPass", "proxy_pass")
    services = dict.fromkeys((*whole, "backend", "reverse_proxy", "routers"), "services")
    edge = {key: f"edge.{name}" for key, name in _EDGE.items()}
    listen = "edge.port, or edge.tls.port for HTTPS, and edge.bind for the address"
    return services | edge | {"frontend": "edge", "listen": listen}


RENAMED: Mapping[str, Mapping[str, str]] = {
    "Service": _SERVICE,
    "Http": _of_http(),
    "Edge": {**_EDGE, **_OF_THE_EDGE},
    "Tls": _TLS_KEYS,
    "CertificateFiles": _CERTIFICATE_FILES,
    "Stack": _of_stack(),
}
ABSENT: Mapping[str, Mapping[str, str]] = {
    "Service": _ABSENT,
    "Http": {
        **{key: text for key, text in _ABSENT.items() if key != "if"},
        **{
            key: f"see {names} of the service"
            for key, names in _SERVICE.items()
            if not names.startswith("http.")
        },
        "ServerAlias": "see hosts of the service, and aliases",
    },
}

"""Keys of other tools whose nearest counterpart here means the opposite, or something else.

Renaming such a key would change its meaning, so the hint says what to do instead. The keys are
grouped by model; case, hyphens and underscores do not count.
"""

from collections.abc import Mapping

_NO_DENY = (
    "single clients cannot be blocked; http.allow lists the clients that are allowed, and all"
    " others get a 403"
)
_REDIRECTS = (
    "http.aliases redirects other domains to the first of hosts, edge.tls redirects HTTP to HTTPS,"
    " and the application has to do any other redirect"
)
_TO_HTTPS = "with edge.tls, HTTP always redirects to HTTPS"
_OTHER_TIMES = (
    "its limit is fixed; http.timeout is for a silent service, http.body_timeout for a slow client"
)

_OF_A_SERVICE: Mapping[str, str] = {
    **dict.fromkeys(("deny", "deny_list", "deny_from", "ip_deny_list", "block"), _NO_DENY),
    **dict.fromkeys(("black_list", "block_list", "reject", "order"), _NO_DENY),
    **dict.fromkeys(("redirect", "redirects", "redirect_permanent", "redirect_match"), _REDIRECTS),
    **dict.fromkeys(("redirect_regex", "redir"), _REDIRECTS),
    **dict.fromkeys(("redirect_scheme", "redirect_to_https", "redirect_https"), _TO_HTTPS),
    **dict.fromkeys(("https_redirect", "force_https", "force_ssl", "https_only"), _TO_HTTPS),
    **dict.fromkeys(("proxy_connect_timeout", "connect_timeout"), _OTHER_TIMES),
    **dict.fromkeys(("send_timeout", "write_timeout", "timeout_client"), _OTHER_TIMES),
    "satisfy": "with both http.allow and http.basic_auth, a client has to pass both",
    "limit_rate": "bandwidth has no limit; http.rate_limit counts requests",
    **dict.fromkeys(
        ("proxy_hide_header", "hide_header", "remove_headers"),
        "write the header into http.headers, with false as its value",
    ),
    "brotli": "http.compression compresses with gzip only",
}

ABSENT: Mapping[str, Mapping[str, str]] = {
    "Stack": {
        "service": "each key of services is one, with its name",
        "datacenters": "a stack has one farm; services.<name>.placement chooses among its VMs",
        "node_pool": "a stack has one farm; services.<name>.placement chooses among its VMs",
    },
    "Service": {
        **_OF_A_SERVICE,
        **dict.fromkeys(("cpu_quota", "cpu_percent"), "use cpus, a number of processors"),
        "writable": "use read_only",
    },
    "Http": {
        **{key: text.replace("http.", "") for key, text in _OF_A_SERVICE.items()},
        "ssl_redirect": _TO_HTTPS,
        "no_compression": "compression is off unless it is set to true",
    },
    "RateLimit": {"burst": "a client may send all its requests of a window at once"},
    "Health": dict.fromkeys(
        ("disable", "disabled"),
        "the edge always checks a service; image_check: false turns off the image's own check",
    ),
    "Volume": dict.fromkeys(("rw", "writable"), "volumes are writable unless read_only is true"),
    "Placement": {
        **dict.fromkeys(("exclude", "except", "not"), "list the VMs that it may run on in vms"),
        **dict.fromkeys(("anti_affinity", "pod_anti_affinity"), "use max_per_vm"),
    },
    "Edge": {
        **dict.fromkeys(
            ("redirect", "redirects", "redirect_to_https", "https_redirect"), _TO_HTTPS
        ),
        **dict.fromkeys(("force_https", "force_ssl", "https_only"), _TO_HTTPS),
        "hosts": "each service has its domains, in services.<name>.hosts",
    },
    "Tls": {
        **dict.fromkeys(("redirect", "force", "https_redirect"), "HTTP always redirects to HTTPS"),
        **dict.fromkeys(("hosts", "domains", "domain"), "they come from services.<name>.hosts"),
    },
}

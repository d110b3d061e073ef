"""Builds the gateway's Caddyfile from the addresses of all services. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Literal

HEALTH_SECONDS = 1  # the gateway notices within this time that a replica is gone or back
BODY_MAX = "128KB"  # the services' own limits are half of it
INSIDE = ("/metrics", "/health", "/internal")

# `internal`: from a CA made at the first start. `acme`: from a public one. `off`: plain HTTP.
Tls = Literal["internal", "acme", "off"]


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """The names and addresses of a gateway.

    `host` is the only address it listens on. `replicas` has the addresses of every service, "web"
    included; some of them may not run. `inside` is where the services reach each other. An empty
    `storage` means Caddy's default folder.
    """

    names: Sequence[str]
    port: int
    inside: str
    replicas: Mapping[str, Sequence[str]]
    tls: Tls = "internal"
    storage: str = ""
    host: str = "127.0.0.1"

    @property
    def scheme(self) -> str:
        return "http" if self.tls == "off" else "https"


def caddyfile(gateway: GatewayConfig) -> str:
    """The whole configuration. Nothing in it changes while the shop runs."""
    names = ", ".join(f"{gateway.scheme}://{name}:{gateway.port}" for name in gateway.names)
    return _FILE.substitute(
        storage=f'\tstorage file_system "{gateway.storage}"\n' if gateway.storage else "",
        balanced=_BALANCED.substitute(body_max=BODY_MAX, health_seconds=HEALTH_SECONDS),
        routes="".join(_route(name, found) for name, found in gateway.replicas.items()),
        names=names,
        bound=_bound(gateway.host),
        unknown_host=f"{gateway.scheme}://:{gateway.port}",
        tls="\ttls internal\n" if gateway.tls == "internal" else "",
        inner_paths=" ".join(f"{path} {path}/*" for path in INSIDE),
        hsts="" if gateway.tls == "acme" else _NO_HSTS,
        inside=gateway.inside,
        inside_host=_bound(gateway.inside.rpartition(":")[0].strip("[]")),
    )


def _bound(host: str) -> str:
    """An address for Caddy's `bind`."""
    return f"[{host}]" if ":" in host else host


def _route(service: str, addresses: Sequence[str]) -> str:
    """The route of a service; pages get every path that is not an API's."""
    path = "" if service == "web" else f" /api/{service}/*"
    return f"\thandle{path} {{\n\t\timport balanced {' '.join(addresses)}\n\t}}\n"


_NO_HSTS = """\
		# A browser would keep it for every port of this machine, embedded shops included.
		-Strict-Transport-Security
"""

_BALANCED = Template("""\
(balanced) {
	request_body {
		max_size $body_max
	}
	reverse_proxy {args[:]} {
		# What never reached a replica goes to another one; what may have, only if it is safe.
		lb_policy round_robin
		lb_try_duration 8s
		lb_try_interval 250ms
		lb_retry_match {
			method GET HEAD
		}
		health_uri /health/ready
		health_interval ${health_seconds}s
		health_timeout 4s
		transport http {
			dial_timeout 2s
			# Sooner than a replica ends an idle connection.
			keepalive 10s
			response_header_timeout 30s
		}
	}
}
""")

_FILE = Template("""\
# Made by cinesync (src/cinesync/supervisor/caddyfile.py).
{
	admin off
	persist_config off
	skip_install_trust
	auto_https disable_redirects
	grace_period 3s
$storage	log {
		level WARN
		format json
		exclude http.handlers.reverse_proxy
	}
	# It warns of every browser that leaves a stream.
	log proxy {
		level ERROR
		format json
		include http.handlers.reverse_proxy
	}
	pki {
		ca local {
			name "CineSync local CA"
		}
	}
	servers {
		protocols h1 h2
		max_header_size 32KB
		timeouts {
			read_header 10s
			read_body 30s
			idle 2m
		}
	}
}

$balanced
(routes) {
$routes}

(guarded) {
	header {
		?X-Content-Type-Options nosniff
		?X-Frame-Options DENY
		?Content-Security-Policy "frame-ancestors 'none'"
		?Referrer-Policy same-origin
		?Cross-Origin-Resource-Policy same-origin
		-Server
		-Via
$hsts	}
}

(errors) {
	handle_errors {
		import guarded
		@away expression `{err.status_code} >= 502`
		header @away Retry-After 2
		header Cache-Control no-store
		@api path /api/*
		handle @api {
			header Content-Type application/problem+json
			respond `{"type":"about:blank","title":"{err.status_text}","status":{err.status_code}}`
		}
		handle {
			header Content-Type "text/html; charset=utf-8"
			respond <<HTML
				<!doctype html>
				<html lang="en">
				<meta charset="utf-8">
				<meta name="viewport" content="width=device-width, initial-scale=1">
				<title>{err.status_text}</title>
				<h1>{err.status_text}</h1>
				<p>That did not work. Nothing you bought is lost: please try again in a moment.</p>
				<p><a href="/">To the shop</a></p>
				HTML
		}
	}
}

# The public side.
$names {
	bind $bound
$tls	log {
		level ERROR
	}
	import guarded
	@inner path $inner_paths
	handle @inner {
		error 404
	}
	import routes
	import errors
}

# Names that are not ours.
$unknown_host {
	bind $bound
$tls	error 421
	import errors
}

# The services among themselves: the same balancing, this machine only.
http://$inside {
	bind $inside_host
	import routes
	import errors
}
""")

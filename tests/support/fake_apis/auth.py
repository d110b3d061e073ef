"""The fake auth API, and the personal data that every service returns."""

from typing import Any

from flask import Flask, Response, jsonify, request

from cinesync.chassis import clock
from tests.support.fake_apis.state import FakeApis, Refused, id_of


def install(app: Flask, apis: FakeApis) -> None:
    """The routes."""
    _auth(app, apis)
    _personal_data(app, apis)


def _auth(app: Flask, apis: FakeApis) -> None:  # noqa: C901 a table of routes
    def issue(email: str) -> Response:
        token, refresh = f"access-{clock.new_id()}", f"refresh-{clock.new_id()}"
        apis.tokens[token] = email
        apis.refresh_tokens[refresh] = email
        answer = jsonify(access_token=token, token_type="Bearer", expires_in=apis.expires_in)
        answer.set_cookie("cinesync_refresh", refresh, path="/api/auth", httponly=True)
        answer.set_cookie(
            "cinesync_device", f"{id_of(email).replace('-', '')}.1.0a", path="/api/auth"
        )
        return answer

    @app.post("/api/auth/login")
    def login() -> Response:
        body = request.get_json()
        apis.devices.append(request.cookies.get("cinesync_device"))
        person = apis.people.get(body["email"])
        if person is None or person["password"] != body["password"]:
            raise Refused(401, "E-mail or password is wrong.")
        return issue(body["email"])

    @app.post("/api/auth/links")
    def request_link() -> tuple[str, int]:
        body = request.get_json()
        apis.links[f"{body['purpose']}-{len(apis.links)}"] = body["email"]
        return "", 202

    @app.post("/api/auth/links/use")
    def use_link() -> Response:
        body = request.get_json()
        email = apis.links.pop(body["code"], None)
        if email is None:
            raise Refused(401, "This link was used already, or it is too old.")
        apis.people[email]["password"] = body.get("password", apis.people[email]["password"])
        return issue(email)

    @app.post("/api/auth/guest")
    def guest() -> Response:
        email = request.get_json()["email"]
        apis.people[f"guest {email}"] = {"email": email, "name": "", "password": ""}
        return issue(f"guest {email}")

    @app.post("/api/auth/refresh")
    def refresh() -> Response:
        email = apis.refresh_tokens.pop(request.cookies.get("cinesync_refresh", ""), None)
        if email is None:
            raise Refused(401, "Please sign in again.")
        return issue(email)

    @app.post("/api/auth/register")
    def register() -> tuple[Response, int]:
        body = request.get_json()
        if body["email"] in apis.people:
            raise Refused(409, "There is an account with this e-mail already.")
        apis.people[body["email"]] = {"phone": None} | body
        return jsonify(_profile(apis, body["email"])), 201

    @app.post("/api/auth/logout")
    def logout() -> tuple[str, int]:
        apis.refresh_tokens.pop(request.cookies.get("cinesync_refresh", ""), None)
        return "", 204

    @app.route("/api/auth/me", methods=["GET", "PUT"])
    def me() -> Response:
        person = apis.people[caller_of(apis)]
        if request.method == "PUT":
            person.update(request.get_json())
        return jsonify(_profile(apis, caller_of(apis)))


def _profile(apis: FakeApis, key: str) -> dict[str, Any]:
    person = apis.people[key]
    return {name: person.get(name) for name in ("email", "name", "phone")} | {
        "customer_id": id_of(key),
        "role": "guest" if key.startswith("guest ") else "customer",
        "created_at": clock.now().isoformat(),
    }


def _personal_data(app: Flask, apis: FakeApis) -> None:  # noqa: C901 a table of routes
    @app.get("/api/auth/me/data")
    def auth_data() -> Response:
        return jsonify(account={"email": apis.people[caller_of(apis)]["email"]})

    @app.get("/api/<any(booking, payment, ledger):service>/me/data")
    def own_data(service: str) -> Response:
        caller_of(apis)
        after = int(request.args.get("after", "0"))
        more = str(after + 1) if after < 2 else None
        return jsonify(items=[{"kind": service, "number": after}], next=more)

    @app.post("/api/auth/me/erase")
    def erase() -> tuple[str, int]:
        email = caller_of(apis)
        if apis.people[email]["password"] != request.get_json()["password"]:
            raise Refused(401, "The e-mail or the password is not right.")
        if apis.unfinished:
            raise Refused(409, "You have tickets for a show to come.", unfinished=apis.unfinished)
        del apis.people[email]
        return "", 204

    @app.post("/api/auth/links/erase")
    def erase_by_link() -> tuple[str, int]:
        email = apis.links.get(request.get_json()["code"])
        if email is None:
            raise Refused(401, "This link was used already, or it is too old.")
        if apis.unfinished:
            raise Refused(409, "You have tickets for a show to come.", unfinished=apis.unfinished)
        del apis.people[email]
        return "", 204


def caller_of(apis: FakeApis) -> str:
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token not in apis.tokens:
        raise Refused(401, "Please sign in: this needs a valid access token.")
    return apis.tokens[token]

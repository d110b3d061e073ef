"""The auth service's part of the contract, in memory, and everybody's own data."""

from flask import Flask, Response, jsonify, request

from cinesync.chassis import clock
from tests.support.fake_apis.world import Refused, World, an_id


def install(app: Flask, world: World) -> None:
    """The routes."""
    _auth(app, world)
    _personal_data(app, world)


def _auth(app: Flask, world: World) -> None:  # noqa: C901 a table of routes
    def issue(email: str) -> Response:
        token, refresh = f"access-{clock.new_id()}", f"refresh-{clock.new_id()}"
        world.tokens[token] = email
        world.refresh_tokens[refresh] = email
        answer = jsonify(access_token=token, token_type="Bearer", expires_in=world.expires_in)
        answer.set_cookie("cinesync_refresh", refresh, path="/api/auth", httponly=True)
        answer.set_cookie(
            "cinesync_device", f"{an_id(email).replace('-', '')}.1.0a", path="/api/auth"
        )
        return answer

    @app.post("/api/auth/login")
    def login() -> Response:
        given = request.get_json()
        world.devices.append(request.cookies.get("cinesync_device"))
        person = world.people.get(given["email"])
        if person is None or person["password"] != given["password"]:
            raise Refused(401, "E-mail or password is wrong.")
        return issue(given["email"])

    @app.post("/api/auth/links")
    def request_link() -> tuple[str, int]:
        given = request.get_json()
        world.links[f"{given['purpose']}-{len(world.links)}"] = given["email"]
        return "", 202

    @app.post("/api/auth/links/use")
    def use_link() -> Response:
        given = request.get_json()
        email = world.links.pop(given["code"], None)
        if email is None:
            raise Refused(401, "This link was used already, or it is too old.")
        world.people[email]["password"] = given.get("password", world.people[email]["password"])
        return issue(email)

    @app.post("/api/auth/guest")
    def guest() -> Response:
        email = request.get_json()["email"]
        world.people[f"guest {email}"] = {"email": email, "name": "", "password": ""}
        return issue(f"guest {email}")

    @app.post("/api/auth/refresh")
    def refresh() -> Response:
        email = world.refresh_tokens.pop(request.cookies.get("cinesync_refresh", ""), None)
        if email is None:
            raise Refused(401, "Please sign in again.")
        return issue(email)

    @app.post("/api/auth/register")
    def register() -> tuple[Response, int]:
        given = request.get_json()
        if given["email"] in world.people:
            raise Refused(409, "There is an account with this e-mail already.")
        world.people[given["email"]] = {"phone": None} | given
        return jsonify(customer_id=an_id(given["email"])), 201

    @app.post("/api/auth/logout")
    def logout() -> tuple[str, int]:
        world.refresh_tokens.pop(request.cookies.get("cinesync_refresh", ""), None)
        return "", 204

    @app.route("/api/auth/me", methods=["GET", "PUT"])
    def me() -> Response:
        person = world.people[caller_of(world)]
        if request.method == "PUT":
            person.update(request.get_json())
        role = "guest" if caller_of(world).startswith("guest ") else "customer"
        shown = {name: person.get(name) for name in ("email", "name", "phone")}
        return jsonify(shown | {"role": role})


def _personal_data(app: Flask, world: World) -> None:  # noqa: C901 a table of routes
    @app.get("/api/auth/me/data")
    def auth_data() -> Response:
        return jsonify(account={"email": world.people[caller_of(world)]["email"]})

    @app.get("/api/<service>/me/data")
    def own_data(service: str) -> Response:
        caller_of(world)
        after = int(request.args.get("after", "0"))
        more = str(after + 1) if after < 2 else None
        return jsonify(items=[{"kind": service, "number": after}], next=more)

    @app.post("/api/auth/me/erase")
    def erase() -> tuple[str, int]:
        email = caller_of(world)
        if world.people[email]["password"] != request.get_json()["password"]:
            raise Refused(401, "The e-mail or the password is not right.")
        if world.unfinished:
            raise Refused(409, "You have tickets for a show to come.", unfinished=world.unfinished)
        del world.people[email]
        return "", 204

    @app.post("/api/auth/links/erase")
    def erase_by_link() -> tuple[str, int]:
        email = world.links.get(request.get_json()["code"])
        if email is None:
            raise Refused(401, "This link was used already, or it is too old.")
        if world.unfinished:
            raise Refused(409, "You have tickets for a show to come.", unfinished=world.unfinished)
        del world.people[email]
        return "", 204


def caller_of(world: World) -> str:
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token not in world.tokens:
        raise Refused(401, "Please sign in: this needs a valid access token.")
    return world.tokens[token]

"""The storefront: its URLs, templates and static files."""

from flask import Blueprint

from cinesync.web.api_models import shows_by_theater
from cinesync.web.storefront import browse, checkout, holds, payments, seats

blueprint = Blueprint(
    "storefront",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/static/storefront",
)
blueprint.add_app_template_filter(shows_by_theater, "by_theater")
blueprint.add_app_template_global(browse.here_with)

blueprint.get("/")(browse.home)
blueprint.get("/movies/<uuid:movie_id>")(browse.movie)
blueprint.get("/theaters")(browse.theaters)
blueprint.get("/theaters/<uuid:theater_id>")(browse.theater)
blueprint.get("/shows")(browse.shows)

blueprint.get("/shows/<uuid:show_id>")(seats.seat_map)
blueprint.post("/shows/<uuid:show_id>/hold")(holds.hold)
blueprint.post("/holds/<uuid:hold_id>/extend")(holds.extend)
blueprint.post("/holds/<uuid:hold_id>/release")(holds.release)

blueprint.get("/holds/<uuid:hold_id>")(checkout.checkout)
blueprint.post("/holds/<uuid:hold_id>/pay")(checkout.pay)
blueprint.get("/holds/<uuid:hold_id>/payment")(payments.return_from_bank)
blueprint.get("/payments/<uuid:payment_id>")(payments.payment)
blueprint.get("/payments/<uuid:payment_id>/state")(payments.payment_state)

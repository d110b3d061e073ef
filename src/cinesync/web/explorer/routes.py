"""The ledger explorer: its URLs, templates and static files. Nobody signs in here."""

from flask import Blueprint

from cinesync.web.api_client import ApiProblem
from cinesync.web.explorer import views

blueprint = Blueprint(
    "explorer",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/static/explorer",
)
blueprint.register_error_handler(ApiProblem, views.api_problem)
blueprint.add_app_template_filter(views.utc)
blueprint.add_app_template_filter(views.iso_time)
blueprint.add_app_template_filter(views.kind)

blueprint.get("/ledger")(views.overview)
blueprint.get("/ledger/now")(views.latest)
blueprint.get("/ledger/blocks/<int:height>")(views.block)
blueprint.get("/ledger/entries/<uuid:event_id>")(views.entry)
blueprint.get("/ledger/bookings/<uuid:booking_id>")(views.booking)
blueprint.get("/verify")(views.verify)

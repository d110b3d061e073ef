"""The account pages: their URLs, templates and static files."""

from flask import Blueprint

from cinesync.web.account import bookings, personal_data, profile, sign_in, sign_in_links

blueprint = Blueprint(
    "account",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/static/account",
)

blueprint.get("/sign-in")(sign_in.sign_in)
blueprint.post("/sign-in")(sign_in.sign_in_now)
blueprint.post("/guest")(sign_in.guest_now)
blueprint.get("/register")(sign_in.register)
blueprint.post("/register")(sign_in.register_now)
blueprint.post("/sign-out")(sign_in.sign_out)

blueprint.get("/sign-in/link")(sign_in_links.sign_in_link)
blueprint.post("/sign-in/link")(sign_in_links.request_sign_in_link)
blueprint.post("/sign-in/link/use")(sign_in_links.use_sign_in_link)

blueprint.route("/account", methods=["GET", "POST"])(profile.profile)
blueprint.get("/account/data")(personal_data.personal_data)
blueprint.get("/account/data.json")(personal_data.download_personal_data)
blueprint.post("/account/data/erase")(personal_data.erase)
blueprint.post("/account/data/link")(personal_data.mail_erasure_link)
blueprint.get("/account/erase")(personal_data.confirm_erasure)
blueprint.post("/account/erase")(personal_data.erase_by_link)

blueprint.get("/bookings")(bookings.bookings)
blueprint.get("/bookings/<uuid:booking_id>")(bookings.booking)
blueprint.get("/bookings/<uuid:booking_id>/tickets")(bookings.tickets)
blueprint.get("/bookings/<uuid:booking_id>/cancel")(bookings.cancel)
blueprint.post("/bookings/<uuid:booking_id>/cancel")(bookings.cancel_now)

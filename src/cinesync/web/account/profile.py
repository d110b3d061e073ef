"""The customer's name and phone number."""

from flask import flash, make_response, redirect, render_template, url_for
from werkzeug.wrappers import Response

from cinesync.web import session
from cinesync.web.account.forms import ProfileForm, show_field_errors
from cinesync.web.api_client import ApiProblem
from cinesync.web.session import api


def profile() -> Response:
    customer = api().me(session.access_token())
    form = ProfileForm(obj=customer)
    sentence, status = "", 200
    if form.validate_on_submit():
        changed = {"name": form.name.data}
        if form.phone.data:
            changed["phone"] = form.phone.data
        try:
            api().change_me(session.access_token(), changed)
        except ApiProblem as problem:
            if problem.is_server_error or problem.is_unauthorized:
                raise
            sentence, status = show_field_errors(form, problem), problem.status
        else:
            flash("Saved.", "success")
            return redirect(url_for("account.profile"), 303)
    elif form.errors:
        status = 422
    body = render_template("account/profile.html", form=form, customer=customer, sentence=sentence)
    return make_response(body, status)

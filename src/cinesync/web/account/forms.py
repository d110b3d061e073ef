"""The forms of the account pages. The auth service validates their contents."""

# mypy: allow-subclassing-any

from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    EmailField,
    HiddenField,
    PasswordField,
    StringField,
    SubmitField,
    TelField,
)
from wtforms.validators import InputRequired, Length, Optional, Regexp

from cinesync.web.api_client import ApiProblem

TEXT_LENGTH_MAX = 200  # keeps forms small; the auth service has the rules
EMAIL = [
    InputRequired("Please enter your e-mail address."),
    Length(max=254),
    Regexp(r"^[^@\s]+@[^@\s]+$", message="An e-mail address looks like name@example.org."),
]


class SignInForm(FlaskForm):
    email = EmailField("E-mail", EMAIL, render_kw={"autocomplete": "username"})
    password = PasswordField(
        "Password",
        [InputRequired("Please enter your password."), Length(max=TEXT_LENGTH_MAX)],
        render_kw={"autocomplete": "current-password"},
    )
    next = HiddenField()
    submit = SubmitField("Sign in")


class GuestForm(FlaskForm):
    email = EmailField("E-mail", EMAIL, id="guest_email", render_kw={"autocomplete": "email"})
    next = HiddenField(id="guest_next")
    submit = SubmitField("Continue as guest", id="guest_submit")


class LinkForm(FlaskForm):
    email = EmailField("E-mail", EMAIL, render_kw={"autocomplete": "username"})
    submit = SubmitField("Send me a link")


class LinkUseForm(FlaskForm):
    code = HiddenField(validators=[InputRequired(), Length(max=TEXT_LENGTH_MAX)])
    password = PasswordField(
        "New password (only if you want one)",
        [Optional(), Length(max=TEXT_LENGTH_MAX)],
        description="A few words make a good one. Leave it empty to keep the old one.",
        render_kw={"autocomplete": "new-password"},
    )
    submit = SubmitField("Sign in")


class EraseForm(FlaskForm):
    password = PasswordField(
        "Your password",
        [InputRequired("Please enter your password."), Length(max=TEXT_LENGTH_MAX)],
        render_kw={"autocomplete": "current-password"},
    )
    sure = BooleanField("Yes, erase it for good", [InputRequired("Please tick the box.")])
    submit = SubmitField("Erase my account")


class EraseByLinkForm(FlaskForm):
    code = HiddenField(
        validators=[InputRequired("This link is incomplete. Please open it from the mail again.")]
    )
    sure = BooleanField("Yes, erase it for good", [InputRequired("Please tick the box.")])
    submit = SubmitField("Erase everything")


class RegisterForm(FlaskForm):
    name = StringField(
        "Name",
        [InputRequired("Please tell us your name."), Length(max=TEXT_LENGTH_MAX)],
        render_kw={"autocomplete": "name"},
    )
    email = EmailField("E-mail", EMAIL, render_kw={"autocomplete": "username"})
    password = PasswordField(
        "Password",
        [
            InputRequired("Please choose a password."),
            Length(max=TEXT_LENGTH_MAX),
        ],
        description="A few words make a good one.",
        render_kw={"autocomplete": "new-password"},
    )
    phone = TelField(
        "Phone (optional)", [Optional(), Length(max=32)], render_kw={"autocomplete": "tel"}
    )
    next = HiddenField()
    submit = SubmitField("Create account")


class ProfileForm(FlaskForm):
    name = StringField(
        "Name",
        [InputRequired("Please tell us your name."), Length(max=TEXT_LENGTH_MAX)],
        render_kw={"autocomplete": "name"},
    )
    phone = TelField(
        "Phone (optional)", [Optional(), Length(max=32)], render_kw={"autocomplete": "tel"}
    )
    submit = SubmitField("Save")


def show_field_errors(form: FlaskForm, problem: ApiProblem) -> str:
    """Show a problem's messages beside their fields; return its sentence if more is wrong."""
    errors = {name: message for name, message in problem.field_errors.items() if name in form}
    for name, message in errors.items():
        form[name].errors = [*form[name].errors, f"{message[:1].upper()}{message[1:]}"]
    return "" if errors and errors == problem.field_errors else problem.sentence

"""What `oidc` refuses with."""

from __future__ import annotations

from gateway.errors import ClientError, Forbidden, GatewayError, Source, Unauthorized


class LoginRequired(Unauthorized):
    """No session. A browser is sent to the provider, a program is told so."""

    code, title = "login_required", "Sign in"


class LoginFailed(ClientError):
    """A login that cannot be finished: begun in another browser, too old, forged, or refused by the provider."""

    code, status, title, source = "login_failed", 400, "Sign-in failed", Source.POLICY


class NotAllowed(Forbidden):
    """The user is known and is not among those who may come in."""

    code, title = "not_allowed", "No access"


class CrossSiteLogout(Forbidden):
    """A page of another site tried to log the user out."""

    code, title = "cross_site_logout", "Forbidden"


class InvalidLogoutToken(ClientError):
    """A back-channel logout whose token does not hold (OpenID Connect Back-Channel Logout 1.0 §2.6)."""

    code, status, title, source = "invalid_logout_token", 400, "Invalid logout token", Source.POLICY


class ProviderUnavailable(GatewayError):
    """The identity provider did not answer, or not in a way that can be used."""

    code, status, title, source = "provider_unavailable", 503, "Service unavailable", Source.POLICY

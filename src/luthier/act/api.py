"""An HTTP API as tools, from its OpenAPI document."""

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from luthier.act.document import Document, Operation, choose, read_document
from luthier.act.guard import Guard
from luthier.act.parameters import parameters_of, request_of, schema_of
from luthier.act.secret import Secrets, read_secrets
from luthier.act.spec import ApiSpec
from luthier.act.tool import CallError, Output, Tool, name_of
from luthier.act.web import Request, Response, Web
from luthier.errors import SpecError
from luthier.event import Chose, Tell

SAFE = ("GET", "HEAD")
LONGEST_ABOUT = 500


class Api:
    """One API, with its secrets and its connections."""

    def __init__(self, spec: ApiSpec, tell: Tell) -> None:
        self.spec = spec
        self.document = read_document(Path(spec.document).expanduser())
        self.secrets = read_secrets(spec.secrets, tell)
        self.server = _server(spec, self.document)
        self.guard = Guard(_hosts(spec), spec.allow_private)
        self._check_server()
        self._web = Web(self.guard, retries=spec.retries, most_bytes=spec.response_bytes)
        tell(Chose("hosts", ", ".join(self.guard.hosts), f"nothing else is reached for {self.server}"))

    def close(self) -> None:
        """Give the connections back."""
        self._web.close()

    def tools(self) -> list[Tool]:
        """Give the chosen operations. Raises SpecError for one that cannot be called."""
        return [self._tool(operation) for operation in choose(self.document, self.spec.operations)]

    def _tool(self, operation: Operation) -> Tool:
        parameters = parameters_of(self.document, operation)
        keys = Keys(self.document, operation, self.secrets)

        def call(arguments: Mapping[str, Any], seconds: float) -> Output:
            request = request_of(operation.method, self.server, operation.path, parameters, arguments)
            return self._said(keys.put(request), seconds)

        words = [operation.body.get("summary"), operation.body.get("description"), operation.spelled[1]]
        about = ". ".join(dict.fromkeys(" ".join(str(word).split()).rstrip(".") for word in words if word))
        return Tool(
            name_of(operation.name),
            about[:LONGEST_ABOUT],
            schema_of(parameters),
            call,
            "api",
            is_dangerous=operation.method not in SAFE,
        )

    def _said(self, request: Request, seconds: float) -> Output:
        try:
            response = self._web.send(request, min(seconds, self.spec.timeout_seconds))
        except CallError as error:  # its place may hold a key that stands in the address
            raise CallError(
                self.secrets.hide(error.what), where=self.secrets.hide(error.where), mend=error.mend
            ) from error
        text = self.secrets.hide(_text(response))
        if response.status >= 400:
            raise CallError(
                f"the API answered {response.status}: {text[:500]}",
                where=f"{request.method} {self.secrets.hide(request.url)}",
                mend="change the arguments as it says" if response.status < 500 else "try again later",
            )
        return Output(text if text.strip() else f"done (status {response.status}, nothing was sent back)")

    def _check_server(self) -> None:
        try:
            self.guard.check(self.server)
        except CallError as error:
            raise SpecError(
                f"the document's server may not be reached: {error.what}",
                where=f"{self.document.where}, servers",
                mend=f"allow_hosts=[{urlsplit(self.server).hostname}] if you trust it, or server=ADDRESS",
            ) from None


def _server(spec: ApiSpec, document: Document) -> str:
    """Give where the API lies: as the user says, else as the document does."""
    if spec.server:
        return spec.server
    if document.is_old:
        scheme = (document.root.get("schemes") or ["https"])[0]
        found = f"{scheme}://{document.root.get('host', '')}{document.root.get('basePath', '')}"
        found = found if document.root.get("host") else ""
    else:
        servers = document.root.get("servers") or [{}]
        first = document.mapping(servers[0], "servers, 0")
        found = str(first.get("url", ""))
        for name, variable in document.mapping(first.get("variables"), "servers, 0, variables").items():
            found = found.replace("{" + name + "}", str(document.mapping(variable, name).get("default", "")))
    if "://" not in found:
        raise SpecError(
            f"the document does not say where the API lies (its server is {found!r})",
            where=f"{document.where}, servers",
            mend=f"server={urljoin('https://api.example.com', found)}",
        )
    return found


def _hosts(spec: ApiSpec) -> tuple[str, ...]:
    """The user's own list, and the host of the address the user gave; never one that only the document names."""
    given = (urlsplit(spec.server).netloc,) if spec.server else ()
    return tuple(dict.fromkeys((*given, *spec.allow_hosts)))


def _text(response: Response) -> str:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_text = (
        kind.startswith("text/")
        or any(word in kind for word in ("json", "xml", "yaml", "javascript", "form"))
        or not kind
    )
    if not is_text:
        return f"{len(response.body)} bytes of {kind}, which is no text"
    text = response.body.decode("utf-8", "replace")
    if "json" in kind and not response.is_cut:
        with suppress(ValueError, RecursionError):  # it says JSON and is not: shown as it is
            text = json.dumps(json.loads(text), ensure_ascii=False)
    return f"{text}\n(the answer was cut off at {len(response.body)} bytes)" if response.is_cut else text


class Keys:
    """Which secrets an operation needs, and where they go."""

    def __init__(self, document: Document, operation: Operation, secrets: Secrets) -> None:
        schemes = _schemes(document)
        wanted = operation.body.get("security", document.root.get("security")) or [{}]
        met = [names for names in wanted if all(name in secrets.values for name in names)]
        if not met:
            missing = " or ".join(" and ".join(map(repr, names)) for names in wanted)
            raise SpecError(
                f"{operation.name} needs the secret {missing}",
                where=f"{document.where}, security",
                mend="write it into a file as `name: secret` and give secrets=FILE",
            )
        self._parts = [(document.mapping(schemes.get(name), name), secrets.values[name]) for name in met[0]]

    def put(self, request: Request) -> Request:
        """Give the request with its secrets in place."""
        headers: dict[str, str] = {}
        asked: list[tuple[str, str]] = []
        for scheme, secret in self._parts:
            place, name = str(scheme.get("in", "")), str(scheme.get("name", ""))
            kind = str(scheme.get("type", "")).lower()
            if kind == "apikey" and place == "query":
                asked.append((name, secret))
            elif kind == "apikey" and place == "cookie":
                headers["Cookie"] = "; ".join(filter(None, (request.headers.get("Cookie"), f"{name}={secret}")))
            elif kind == "apikey":
                headers[name] = secret
            elif kind == "basic" or str(scheme.get("scheme", "")).lower() == "basic":
                headers["Authorization"] = f"Basic {base64.b64encode(secret.encode()).decode()}"
            else:  # http bearer, oauth2, openIdConnect: a token
                headers["Authorization"] = f"Bearer {secret}"
        url = request.url + ("&" if "?" in request.url else "?") + urlencode(asked) if asked else request.url
        return Request(request.method, url, request.headers, request.body, headers)


def _schemes(document: Document) -> Mapping[str, Any]:
    if document.is_old:
        return document.mapping(document.root.get("securityDefinitions"), "securityDefinitions")
    components = document.mapping(document.root.get("components"), "components")
    return document.mapping(components.get("securitySchemes"), "components, securitySchemes")

//! The API's own description, OpenAPI 3.1, made from the handlers.

use atta_core::protocol::api::{LogEvent, Problem};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

use super::access::SCHEME;

/// What there is before the handlers are added.
pub(super) fn base() -> OpenApi {
    let mut components = Components::new();
    for (name, schema) in [(Problem::name(), Problem::schema()), (LogEvent::name(), LogEvent::schema())] {
        components.schemas.insert(name.into_owned(), schema);
    }
    let token = Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("atta_ROLE_…").description(Some(
        "An API token; the scope of an operation is the least role. A server that listens on loopback only may do without.",
    ));
    components.add_security_scheme(SCHEME, SecurityScheme::Http(token.build()));
    let mut nested = Vec::new();
    Problem::schemas(&mut nested);
    LogEvent::schemas(&mut nested);
    components.schemas.extend(nested);
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Atta")
                // Of the API, not of the program: it changes when the API does.
                .version("1")
                .description(Some(
                    "Definitions, jobs, logs and artifacts of an Atta server. Every error is a problem answer \
                     (RFC 9457) with a stable `code` and the request's id.",
                ))
                .build(),
        )
        .components(Some(components))
        .build()
}

/// What all operations share: errors. A wildcard is written as a plain parameter, which is all that OpenAPI knows.
pub(super) fn finish(mut api: OpenApi) -> OpenApi {
    let problem = ResponseBuilder::new()
        .description("An error: see `code`")
        .content(
            "application/problem+json",
            ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build(),
        )
        .build();
    let paths = std::mem::take(&mut api.paths.paths);
    for (path, mut item) in paths {
        for operation in
            [&mut item.get, &mut item.head, &mut item.post, &mut item.put, &mut item.delete].into_iter().flatten()
        {
            let operation: &mut Operation = operation;
            operation.responses.responses.insert("default".to_owned(), RefOr::T(problem.clone()));
        }
        api.paths.paths.insert(path.replace("{*", "{"), item);
    }
    api
}

//! The API's own description, made from the code that answers.

use std::sync::OnceLock;

use cairn_model::Outcome;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, PathItem, Ref, RefOr, ResponseBuilder};

use crate::error::ErrorBody;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Cairn",
        version = "1",
        description = "First-party tracking that a business runs itself. Errors have the shape of `ErrorBody`; codes are \
            listed in docs/errors.md. Writes take an `Idempotency-Key`. Lists are pages: hand `next` back as `after`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(ErrorBody)),
    security(("token" = []), ("session" = [])),
    tags(
        (name = "sites", description = "Sites"),
        (name = "pixels", description = "Pixels: the data sources of a site"),
        (name = "goals", description = "Goals: what counts as a conversion"),
        (name = "costs", description = "Costs of advertising, and exchange rates"),
        (name = "funnels", description = "Funnels: steps towards a conversion"),
        (name = "events", description = "Events: stored, live, imported, and what became of each hit"),
        (name = "emails", description = "Mails and links: tracked opens and clicks"),
        (name = "ads", description = "Advertisements: tracked impressions, views and clicks"),
        (name = "privacy", description = "Permission: receipts of visitors' choices, and how often it is given"),
        (name = "rights", description = "Rights of people: finding somebody, and answering requests in time"),
        (name = "memory", description = "Memory: what visitors had remembered, and whose browser is whose"),
        (name = "queries", description = "Reports"),
        (name = "instance", description = "The instance: backups of everything"),
        (name = "account", description = "Accounts, sessions and API tokens"),
    )
)]
pub(crate) struct Description;

/// The document as JSON text.
pub fn json() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let mut text = crate::api::document().to_pretty_json().unwrap_or_default();
        text.push('\n');
        text
    })
}

/// Adds what every operation has in common.
pub(crate) fn complete(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    if let Some(components) = &mut document.components {
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        let cookie = ApiKeyValue::new(crate::auth::SESSION_COOKIE);
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
    let names: Vec<_> = Outcome::ALL.map(|outcome| format!("`{}`", outcome.name())).into();
    let names = names.join(", ");
    let sentence = format!(" Outcomes of hits, listed in docs/outcomes.md: {names}.");
    document.info.description.get_or_insert_default().push_str(&sentence);
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(operation_id(method, path));
            let error = ResponseBuilder::new()
                .description("An error, see docs/errors.md")
                .content(
                    "application/json",
                    Content::new(Some(RefOr::Ref(Ref::from_schema_name("ErrorBody")))),
                )
                .build();
            operation.responses.responses.insert("default".to_owned(), RefOr::T(error));
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("get", &mut item.get),
        ("post", &mut item.post),
        ("patch", &mut item.patch),
        ("delete", &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// A unique name, for generated clients: `get_sites_by_site_id_pixels`.
fn operation_id(method: &str, path: &str) -> String {
    let skipped = if path.starts_with("/api/") { 3 } else { 1 };
    let parts = path.split('/').skip(skipped).filter(|part| !part.is_empty()).map(|part| {
        let name = part.trim_matches(['{', '}']).replace('-', "_");
        if part.starts_with('{') { format!("by_{name}") } else { name }
    });
    std::iter::once(method.to_owned()).chain(parts).collect::<Vec<_>>().join("_")
}

/// Compares a committed file with what the code makes; `CAIRN_UPDATE=1` writes it instead.
#[cfg(test)]
pub(crate) fn assert_committed(path: &str, made: &str) {
    if std::env::var_os("CAIRN_UPDATE").is_some() {
        std::fs::write(path, made).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == made, "{path} is out of date; run this test with CAIRN_UPDATE=1");
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_document_is_the_one_the_code_makes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        super::assert_committed(path, super::json());
    }
}

//! Contacts of an organisation: whom the numbers of customers belong to.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::edge::http::Web;
use crate::edge::http::admin::{ImportResult, MAX_LIST, put_status};
use crate::edge::http::asking::Segments;
use crate::edge::http::refusal::{Body, Parameters, Refusal, RefusalBody, Whole};
use crate::edge::http::refusals::OfAdministration;
use crate::edge::http::viewer::AdministratorViewer;
use crate::edge::people::{self, NUMBER, import, is_name};
use crate::edge::store::audit::Row;
use crate::edge::store::contacts::{Contact, ContactsError};

/// Contacts of one page.
const MOST: u16 = 1_000;
const USUAL: u16 = 100;

pub fn routes() -> OpenApiRouter<Web> {
    let lists = OpenApiRouter::new()
        .routes(routes!(take_list))
        .layer(DefaultBodyLimit::max(MAX_LIST));
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(put, remove))
        .merge(lists)
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// Contacts behind this number: the `next` of the page before.
    pub after: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u16>,
}

#[derive(Serialize, ToSchema)]
pub struct ContactList {
    /// In the order of their numbers.
    pub contacts: Vec<Contact>,
    /// The `after` of the next page; none on the last one.
    pub next: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactBody {
    pub name: String,
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AskedOfList {
    /// The country of numbers in national form, ISO 3166, as `FI`.
    pub country: Option<String>,
}

/// Contacts of an organisation, a page of them.
#[utoipa::path(
    get,
    path = "/api/v1/admin/organisations/{organisation}/contacts",
    tag = "administration",
    params(("organisation" = String, Path, description = "its id"), Asked),
    responses(
        (status = 200, description = "a page of contacts", body = ContactList),
        (status = 400, description = "not a name or not a page", body = RefusalBody),
        (status = 404, description = "no such organisation", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn list(
    State(web): State<Web>,
    _: AdministratorViewer,
    Segments(id): Segments<String>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<ContactList>, Refusal> {
    is_there(&web, &id)?;
    let limit = asked.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        let text = format!("limit: expected 1 to {MOST}, found {limit}");
        return Err(Refusal::bad_request(text));
    }
    let after = match asked.after.as_deref().unwrap_or_default() {
        "" => String::new(),
        after => e164(after, "after", None)?,
    };
    let contacts = web.store.contacts(&id, &after, limit).await?;
    let full = contacts.len() == usize::from(limit);
    let next = contacts.last().filter(|_| full);
    Ok(Json(ContactList {
        next: next.map(|contact| contact.number.clone()),
        contacts,
    }))
}

/// Sets the name that a number belongs to.
#[utoipa::path(
    put,
    path = "/api/v1/admin/organisations/{organisation}/contacts/{number}",
    tag = "administration",
    params(
        ("organisation" = String, Path, description = "its id"),
        ("number" = String, Path, description = "E.164, with its plus"),
    ),
    request_body = ContactBody,
    responses(
        (status = 200, description = "it was there", body = Contact),
        (status = 201, description = "made", body = Contact),
        (status = 400, description = "a field that is wrong, by its name", body = RefusalBody),
        (status = 404, description = "no such organisation", body = RefusalBody),
        (status = 409, description = "too many contacts", body = RefusalBody),
        (status = 413, description = "too large", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn put(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    Segments((id, number)): Segments<(String, String)>,
    Body(body): Body<ContactBody>,
) -> Result<(StatusCode, Json<Contact>), Refusal> {
    is_there(&web, &id)?;
    let number = e164(&number, "number", None)?;
    if !is_name(&body.name) {
        let text = format!("name: expected a name, found {:?}", body.name);
        return Err(Refusal::bad_request(text));
    }
    let contact = Contact {
        number,
        name: body.name,
    };
    let row = row(&administrator, &id);
    let one = std::slice::from_ref(&contact);
    let imported = web.store.put_contacts(&id, one, row).await?;
    web.contacts.forget(&id).await;
    Ok((put_status(imported.created == 0), Json(contact)))
}

/// Forgets whom a number belongs to.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/organisations/{organisation}/contacts/{number}",
    tag = "administration",
    params(
        ("organisation" = String, Path, description = "its id"),
        ("number" = String, Path, description = "E.164, with its plus"),
    ),
    responses(
        (status = 204, description = "forgotten"),
        (status = 400, description = "not a number", body = RefusalBody),
        (status = 404, description = "no such contact", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn remove(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    Segments((id, number)): Segments<(String, String)>,
) -> Result<StatusCode, Refusal> {
    is_there(&web, &id)?;
    let number = e164(&number, "number", None)?;
    let row = Row {
        detail: Some(format!("removed {number}")),
        ..row(&administrator, &id)
    };
    let removed = web.store.remove_contact(&id, &number, row).await?;
    web.contacts.forget(&id).await;
    match removed {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Refusal::not_found()),
    }
}

/// Takes in a list of contacts: the columns `number` and `name`. Contacts that the list does not
/// name stay. A line that is wrong is told, and costs no other.
#[utoipa::path(
    post,
    path = "/api/v1/admin/organisations/{organisation}/import/contacts",
    tag = "administration",
    params(("organisation" = String, Path, description = "its id"), AskedOfList),
    request_body(content = String, content_type = "text/csv"),
    responses(
        (status = 200, description = "what it came to", body = ImportResult),
        (status = 400, description = "not a list; the line and the column say where", body = RefusalBody),
        (status = 404, description = "no such organisation", body = RefusalBody),
        (status = 409, description = "too many contacts", body = RefusalBody),
        (status = 413, description = "too large", body = RefusalBody),
        OfAdministration,
    ),
)]
pub async fn take_list(
    State(web): State<Web>,
    administrator: AdministratorViewer,
    Segments(id): Segments<String>,
    Parameters(asked): Parameters<AskedOfList>,
    Whole(list): Whole<Bytes>,
) -> Result<Json<ImportResult>, Refusal> {
    is_there(&web, &id)?;
    let country = asked.country.filter(|country| !country.is_empty());
    if let Some(country) = &country
        && !people::is_country(country)
    {
        let text = format!("country: expected one such as \"FI\", found {country:?}");
        return Err(Refusal::bad_request(text));
    }
    let read = import::contacts(&list, country.as_deref()).map_err(|error| error.refusal())?;
    let contacts = read.taken.into_iter();
    let contacts: Vec<Contact> = contacts
        .map(|(number, name)| Contact { number, name })
        .collect();
    let row = row(&administrator, &id);
    let imported = web.store.put_contacts(&id, &contacts, row).await?;
    web.contacts.forget(&id).await;
    Ok(Json(ImportResult {
        created: imported.created,
        changed: imported.changed,
        unchanged: imported.unchanged,
        errors: read.errors,
    }))
}

fn is_there(web: &Web, organisation: &str) -> Result<(), Refusal> {
    let directory = web.people.directory();
    match directory.organisations.contains_key(organisation) {
        true => Ok(()),
        false => Err(Refusal::not_found()),
    }
}

fn e164(text: &str, key: &str, country: Option<&str>) -> Result<String, Refusal> {
    people::number(text, country)
        .ok_or_else(|| Refusal::bad_request(format!("{key}: expected {NUMBER}, found {text:?}")))
}

fn row(administrator: &AdministratorViewer, organisation: &str) -> Row {
    Row {
        organisation: Some(organisation.to_owned()),
        ..administrator.row("admin_contacts")
    }
}

impl From<ContactsError> for Refusal {
    fn from(error: ContactsError) -> Self {
        match error {
            ContactsError::Store(error) => error.into(),
            ContactsError::TooMany(_) => Self::conflict(error.to_string()),
        }
    }
}

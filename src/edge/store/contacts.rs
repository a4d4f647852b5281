//! Whom numbers belong to: the Contact column of the lists of calls.
//!
//! An organisation's contacts are held in memory as a [`Book`], so that a list of any length costs
//! no query for each call; whether the book is the present one is asked every few seconds at most.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use crate::control::number::normalise;
use crate::edge::clock;
use crate::edge::store::audit::{self, Row};
use crate::edge::store::db::{Tx, all_rows, execute, one_row};
use crate::edge::store::{Store, StoreError};

/// Contacts of one organisation, some tens of megabytes in memory. An import that would make more
/// is refused.
pub const MAX_CONTACTS: i64 = 200_000;

/// Contacts that are written at once.
const PIECE: usize = 1_000;

/// For how long a book is taken for the present one, where another process may write, too.
const FRESH: Duration = Duration::from_secs(5);

/// A number and the name it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct Contact {
    /// E.164.
    pub number: String,
    pub name: String,
}

/// What an import came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub created: usize,
    pub changed: usize,
    pub unchanged: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum ContactsError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("an organisation may have {MAX_CONTACTS} contacts; this would make {0}")]
    TooMany(i64),
}

impl From<sqlx::Error> for ContactsError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The contacts of one organisation, in memory.
#[derive(Debug, Default)]
pub struct Book {
    generation: i64,
    /// By E.164.
    names: BTreeMap<String, Arc<str>>,
    found: Mutex<Found>,
}

/// What was looked up, by number as shown and country.
type Found = BTreeMap<(String, String), Option<Arc<str>>>;

/// Lookups that a book remembers; beyond it they are all forgotten and begin anew.
const MAX_FOUND: usize = 10_000;

impl Book {
    /// Whose number it is, as a call shows it. A number in national form is one of `country`.
    pub fn name_of(&self, number: &str, country: Option<&str>) -> Option<Arc<str>> {
        if self.names.is_empty() {
            return None;
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (number.to_owned(), country.unwrap_or_default().to_owned());
        if let Some(name) = found.get(&key) {
            return name.clone();
        }
        let number = normalise(number, country);
        let name = number.and_then(|number| self.names.get(&number).cloned());
        if found.len() >= MAX_FOUND {
            found.clear();
        }
        found.insert(key, name.clone());
        name
    }
}

/// The books of all organisations. Cloned freely.
#[derive(Clone, Debug)]
pub struct Contacts {
    store: Store,
    /// By organisation id.
    books: Arc<tokio::sync::Mutex<BTreeMap<String, Kept>>>,
}

#[derive(Debug)]
struct Kept {
    book: Arc<Book>,
    asked_at: Instant,
}

impl Contacts {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            books: Arc::default(),
        }
    }

    /// The contacts of an organisation, as they were some seconds ago at most.
    pub async fn book(&self, organisation: &str) -> Result<Arc<Book>, StoreError> {
        let mut books = self.books.lock().await;
        let now = clock::now();
        let kept = books.get(organisation);
        if let Some(kept) = kept
            && now < kept.asked_at + FRESH
        {
            return Ok(kept.book.clone());
        }
        let generation = self.store.contacts_generation(organisation).await?;
        let book = match kept {
            Some(kept) if kept.book.generation == generation => kept.book.clone(),
            Some(_) | None => Arc::new(self.store.contact_book(organisation).await?),
        };
        let kept = Kept {
            book: book.clone(),
            asked_at: now,
        };
        books.insert(organisation.to_owned(), kept);
        Ok(book)
    }

    /// Something was written: the next reader asks the database.
    pub async fn forget(&self, organisation: &str) {
        self.books.lock().await.remove(organisation);
    }
}

impl Store {
    /// Goes up with every change; 0 before the first one.
    async fn contacts_generation(&self, organisation: &str) -> Result<i64, StoreError> {
        let row = one_row!(
            self.db(),
            (i64,),
            "SELECT generation FROM contact_books WHERE organisation = $1",
            organisation
        )?;
        Ok(row.map_or(0, |(generation,)| generation))
    }

    async fn contact_book(&self, organisation: &str) -> Result<Book, StoreError> {
        // The generation first: what is written meanwhile is read again, and never missed.
        let generation = self.contacts_generation(organisation).await?;
        let names = all_rows!(
            self.db(),
            (String, String),
            "SELECT number, name FROM contacts WHERE organisation = $1",
            organisation
        )?;
        Ok(Book {
            generation,
            names: names
                .into_iter()
                .map(|(n, name)| (n, name.into()))
                .collect(),
            found: Mutex::default(),
        })
    }

    /// Contacts by number, those behind `after`.
    pub async fn contacts(
        &self,
        organisation: &str,
        after: &str,
        most: u16,
    ) -> Result<Vec<Contact>, StoreError> {
        let found = all_rows!(
            self.db(),
            (String, String),
            "SELECT number, name FROM contacts WHERE organisation = $1 AND number > $2 \
             ORDER BY number LIMIT $3",
            organisation,
            after,
            i64::from(most),
        )?;
        Ok(found
            .into_iter()
            .map(|(number, name)| Contact { number, name })
            .collect())
    }

    /// Puts contacts beside those that are there; a number that is there gets the new name. A long
    /// list is written in pieces, so that nobody else who writes waits long; what was written of a
    /// list that could not be finished stays, and the list can be taken in again.
    pub async fn put_contacts(
        &self,
        organisation: &str,
        contacts: &[Contact],
        row: Row,
    ) -> Result<Imported, ContactsError> {
        let known = self.contact_book(organisation).await?;
        let mut imported = Imported::default();
        let mut news = Vec::new();
        for contact in contacts {
            match known.names.get(&contact.number) {
                None => imported.created += 1,
                Some(old) if **old == *contact.name => {
                    imported.unchanged += 1;
                    continue;
                }
                Some(_) => imported.changed += 1,
            }
            news.push(contact);
        }
        let count = (known.names.len() + imported.created) as i64;
        if imported.created > 0 && count > MAX_CONTACTS {
            return Err(ContactsError::TooMany(count));
        }
        let changes = format!("{} created, {} changed", imported.created, imported.changed);
        let mut told = Some(Row {
            detail: Some(changes),
            ..row
        });
        for piece in news.chunks(PIECE) {
            let began = clock::now();
            let mut tx = self.db().begin().await?;
            for Contact { number, name } in piece {
                execute!(
                    &mut tx,
                    "INSERT INTO contacts (organisation, number, name) VALUES ($1, $2, $3) \
                     ON CONFLICT (organisation, number) DO UPDATE SET name = excluded.name",
                    organisation,
                    number,
                    name,
                )?;
            }
            turn_the_page(&mut tx, organisation).await?;
            audit::append(&mut tx, told.take().into_iter().collect()).await?;
            tx.commit().await?;
            if news.len() > PIECE {
                // SQLite has one writer at a time, and does not queue them.
                tokio::time::sleep(clock::now() - began).await;
            }
        }
        Ok(imported)
    }

    /// Removes a contact; whether it was there.
    pub async fn remove_contact(
        &self,
        organisation: &str,
        number: &str,
        row: Row,
    ) -> Result<bool, StoreError> {
        let mut tx = self.db().begin().await?;
        let removed = execute!(
            &mut tx,
            "DELETE FROM contacts WHERE organisation = $1 AND number = $2",
            organisation,
            number
        )?;
        if removed > 0 {
            turn_the_page(&mut tx, organisation).await?;
            audit::append(&mut tx, vec![row]).await?;
        }
        tx.commit().await?;
        Ok(removed > 0)
    }
}

async fn turn_the_page(tx: &mut Tx, organisation: &str) -> Result<(), sqlx::Error> {
    execute!(
        &mut *tx,
        "INSERT INTO contact_books (organisation, generation) VALUES ($1, 1) \
         ON CONFLICT (organisation) DO UPDATE SET generation = contact_books.generation + 1",
        organisation
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_however_a_call_shows_it() {
        let book = Book {
            generation: 1,
            names: [("+358401234567".to_owned(), Arc::from("Aino"))].into(),
            found: Mutex::default(),
        };

        for shown in ["+358401234567", "00358 40 1234567", "040 123 4567"] {
            // Looked up, and remembered.
            for _ in 0..2 {
                let name = book.name_of(shown, Some("FI"));
                assert_eq!(name.as_deref(), Some("Aino"), "{shown}");
            }
        }
        assert_eq!(book.name_of("0401234567", None), None);
        assert_eq!(book.name_of("0401234567", Some("SE")), None);
        assert_eq!(book.name_of("0401234568", Some("FI")), None);
        assert_eq!(book.name_of("anonymous", Some("FI")), None);
    }
}

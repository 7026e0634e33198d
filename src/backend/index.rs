//! Rows through an index, without a statement, as foreign keys' checks and the catalogues are read: a session is looked up in every
//! statement of everybody, and to start and end a query plan takes several times what the plan does, most of all after a hash, which leaves
//! no cache as it was. No policy and no grant stands between; so this is for the questions alone that decide who is calling, what they hold
//! and whether there is somebody to do it to, and for what is given to whoever has proved it.

use super::cursor::{Cursor, Wanted, unguarded};
use super::raise::{changed_table, undefined_table};
use super::spi::Mode;
use super::state;
use pgrx::datum::{FromDatum, IntoDatum};
use pgrx::{Uuid, pg_sys};
use std::ffi::{CStr, c_int};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A B-tree or hash index of ours, and the columns of its table by their numbers: a test compares them with the catalogue's.
pub struct Index {
    schema: &'static CStr,
    pub(super) table: &'static CStr,
    name: &'static CStr,
    /// What an earlier release has in its place, until ALTER EXTENSION has run.
    earlier: Option<&'static CStr>,
    /// The oids of table and index in one, and what [`CHANGES`] was when they were looked up.
    known: (AtomicU64, AtomicU64),
}

/// Counts the changes of the catalogues after which a name may be another relation's.
static CHANGES: AtomicU64 = AtomicU64::new(1);

/// Has the server tell of such changes. When the library is loaded.
pub fn define() {
    // SAFETY: the callbacks are functions of this module that neither panic nor raise; the library is never unloaded.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(relation_changes), pg_sys::Datum::null());
        pg_sys::CacheRegisterSyscacheCallback(SCHEMAS, Some(schema_changes), pg_sys::Datum::null());
    }
}

const SCHEMAS: c_int = pg_sys::SysCacheIdentifier::NAMESPACENAME as c_int;

unsafe extern "C-unwind" fn relation_changes(_argument: pg_sys::Datum, _relation: pg_sys::Oid) {
    CHANGES.fetch_add(1, Relaxed);
}

unsafe extern "C-unwind" fn schema_changes(_argument: pg_sys::Datum, _cache: c_int, _hash: u32) {
    CHANGES.fetch_add(1, Relaxed);
}

impl Index {
    pub const fn new(schema: &'static CStr, table: &'static CStr, name: &'static CStr) -> Self {
        Index { schema, table, name, earlier: None, known: (AtomicU64::new(0), AtomicU64::new(0)) }
    }

    pub const fn instead_of(self, earlier: &'static CStr) -> Self {
        Index { earlier: Some(earlier), ..self }
    }

    /// The oids of table and index.
    pub(super) fn oids(&self) -> (u32, u32) {
        let changes = CHANGES.load(Relaxed);
        if self.known.1.load(Relaxed) != changes {
            let find = |name| find(self.schema, name);
            let table = find(self.table).unwrap_or_else(|| undefined_table(self.table));
            let index = find(self.name).or_else(|| find(self.earlier?)).unwrap_or_else(|| undefined_table(self.name));
            self.known.0.store(u64::from(table) << 32 | u64::from(index), Relaxed);
            self.known.1.store(changes, Relaxed);
        }
        let known = self.known.0.load(Relaxed);
        ((known >> 32) as u32, known as u32)
    }

    /// True when the table has a column of this number, counted from 1: the tables of an earlier release have fewer.
    pub fn table_has_column(&self, column: i16) -> bool {
        // SAFETY: a look-up in the catalogue's cache; what is not there is InvalidOid.
        unsafe { pg_sys::get_atttype(self.oids().0.into(), column) != pg_sys::InvalidOid }
    }
}

/// True when there is such a table.
pub fn exists(schema: &CStr, table: &CStr) -> bool {
    find(schema, table).is_some()
}

/// The oid of a table or an index.
fn find(schema: &CStr, name: &CStr) -> Option<u32> {
    // SAFETY: C strings.
    let found = unsafe { pg_sys::get_relname_relid(name.as_ptr(), pg_sys::get_namespace_oid(schema.as_ptr(), false)) };
    Some(found.to_u32()).filter(|oid| *oid != 0)
}

/// What the index's first column equals.
pub enum Key<'a> {
    Uuid(Uuid),
    Octets(&'a [u8]),
    Text(&'a str),
    /// Nothing: every row that is in the index.
    All,
}

/// Where a row of a table lies.
pub type Place = pg_sys::ItemPointerData;

/// A row; it is gone when the next one is read.
pub struct Found(*mut pg_sys::TupleTableSlot);

impl Found {
    /// The value of a column, counted from 1.
    pub fn get<T: FromDatum + IntoDatum>(&self, column: usize) -> Option<T> {
        // SAFETY: the slot holds a row with all of its columns taken apart; FromDatum copies. A column of another type, which is one that
        // somebody has changed, is not read: its octets would be taken for addresses.
        unsafe {
            if described_by((*self.0).tts_tupleDescriptor, column).is_none_or(|of| of.atttypid != T::type_oid()) {
                changed_table();
            }
            let (values, nulls) = ((*self.0).tts_values, (*self.0).tts_isnull);
            T::from_datum(*values.add(column - 1), *nulls.add(column - 1))
        }
    }

    /// Where it lies.
    pub fn place(&self) -> Place {
        // SAFETY: the slot holds a row.
        unsafe { (*self.0).tts_tid }
    }

    /// The value of a column that tables of an earlier release lack, as they do until ALTER EXTENSION has run.
    pub fn get_if_there<T: FromDatum + IntoDatum>(&self, column: usize) -> Option<T> {
        // SAFETY: the slot holds a row.
        let columns = unsafe { (*(*self.0).tts_tupleDescriptor).natts as usize };
        if column <= columns { self.get(column) } else { None }
    }

    /// The value of a column that is never null.
    pub fn value<T: FromDatum + IntoDatum>(&self, column: usize) -> T {
        self.get(column).unwrap_or_else(|| changed_table())
    }
}

/// Asks several questions of one snapshot.
pub fn as_seen_by<T>(mode: Mode, questions: impl FnOnce() -> T) -> T {
    // SAFETY: the server's own snapshots.
    unsafe {
        match mode {
            Mode::Read if unguarded::ActiveSnapshotSet() => questions(),
            // After a COMMIT within a procedure there may be none.
            Mode::Read => under(pg_sys::GetTransactionSnapshot(), questions),
            Mode::Write => {
                pg_sys::CommandCounterIncrement();
                under(pg_sys::GetTransactionSnapshot(), questions)
            }
            Mode::Latest => {
                pg_sys::CommandCounterIncrement();
                under(pg_sys::GetLatestSnapshot(), questions)
            }
        }
    }
}

/// Asks several questions as of now where the transaction keeps its snapshot: whoever has been banned since could go on for as long as
/// somebody has an older one exported. A parallel query can take no snapshot, and writes nothing.
pub fn as_of_now<T>(questions: impl FnOnce() -> T) -> T {
    // SAFETY: as above.
    unsafe {
        if state::keeps_snapshot() && !pg_sys::IsInParallelMode() { under(pg_sys::GetLatestSnapshot(), questions) } else { questions() }
    }
}

/// A moment in our own transaction.
#[derive(Clone, Copy)]
pub struct Moment(pg_sys::CommandId);

impl Moment {
    /// What has been done so far is before it.
    pub fn now() -> Self {
        // SAFETY: the server's own counter; nothing that writes is in a parallel query.
        unsafe {
            pg_sys::CommandCounterIncrement();
            Moment(pg_sys::GetCurrentCommandId(false))
        }
    }
}

/// Asks several questions as of now, as if our transaction had ended at that moment: what others have done since shows, also where we have
/// written over it.
pub fn as_without_us<T>(since: Moment, questions: impl FnOnce() -> T) -> T {
    // SAFETY: of a snapshot of the server's own that is not registered a copy is pushed, which is ours to change until it is popped.
    unsafe {
        under(pg_sys::GetLatestSnapshot(), || {
            (*pg_sys::GetActiveSnapshot()).curcid = since.0;
            questions()
        })
    }
}

/// Asks while a snapshot is the active one.
///
/// # Safety
/// It must be one of the server's.
unsafe fn under<T>(snapshot: pg_sys::Snapshot, questions: impl FnOnce() -> T) -> T {
    // SAFETY: what is pushed is popped; an error in between ends the transaction or the subtransaction, and the snapshot with it.
    unsafe {
        pg_sys::PushActiveSnapshot(snapshot);
        let answers = questions();
        pg_sys::PopActiveSnapshot();
        answers
    }
}

/// The rows that the active snapshot sees of a key, mapped.
pub fn rows<T>(index: &Index, key: &Key, mut row: impl FnMut(&Found) -> T) -> Vec<T> {
    let mut found = Vec::new();
    each(index, key, |slot| {
        found.push(row(slot));
        true
    });
    found
}

/// The first of them.
pub fn first<T>(index: &Index, key: &Key, row: impl FnOnce(&Found) -> T) -> Option<T> {
    let (mut row, mut found) = (Some(row), None);
    each(index, key, |slot| {
        found = row.take().map(|row| row(slot));
        false
    });
    found
}

/// The one row of a unique key, which may lie at a place where somebody has seen it. That is a hint: what lies there is taken only if the
/// active snapshot sees it and it has the key; a row that has moved is found through the index.
pub fn first_near<T>(index: &Index, id: Uuid, place: Option<Place>, row: impl FnOnce(&Found) -> T) -> Option<T> {
    as_seen_by(Mode::Read, || {
        let cursor = Cursor::open(index, &Key::Uuid(id), Wanted::Near(place));
        let found = cursor.is_row.then(|| row(&Found(cursor.slot)));
        cursor.close();
        found
    })
}

/// Goes on while `row` says so.
fn each(index: &Index, key: &Key, mut row: impl FnMut(&Found) -> bool) {
    as_seen_by(Mode::Read, || {
        let mut cursor = Cursor::open(index, key, Wanted::Rows);
        while cursor.is_row && row(&Found(cursor.slot)) {
            cursor.next();
        }
        cursor.close();
    });
}

/// True when the active snapshot sees a row of a key. A page of the table on which everybody sees everything is not looked at, as in an
/// index-only scan.
pub fn has(index: &Index, key: &Key) -> bool {
    as_seen_by(Mode::Read, || {
        let cursor = Cursor::open(index, key, Wanted::Answer);
        cursor.close();
        cursor.is_row
    })
}

/// What the catalogue says of a column, counted from 1.
///
/// # Safety
/// It must describe rows, for as long as what is returned is used.
pub(super) unsafe fn described_by<'a>(rows: pg_sys::TupleDesc, column: usize) -> Option<&'a pg_sys::FormData_pg_attribute> {
    // SAFETY: the caller's promise; as pgrx finds the columns.
    unsafe {
        let columns = (*rows).natts as usize;
        #[cfg(not(feature = "pg18"))]
        let first: *const pg_sys::FormData_pg_attribute = (*rows).attrs.as_ptr();
        #[cfg(feature = "pg18")]
        let first: *const pg_sys::FormData_pg_attribute = (*rows).compact_attrs.as_ptr().add(columns).cast();
        (1..=columns).contains(&column).then(|| &*first.add(column - 1))
    }
}

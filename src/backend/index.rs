//! Rows through an index, without a statement, as foreign keys' checks and the catalogues are read: a session is looked up in every
//! statement of everybody, and to start and end a query plan takes several times what the plan does. No policy and no grant stands
//! between; so this is for the questions alone that decide who is calling and what they hold.

use super::raise::{changed_table, undefined_table};
use super::spi::Mode;
use pgrx::datum::{FromDatum, IntoDatum};
use pgrx::{Uuid, pg_sys};
use std::ffi::CStr;

/// An index of ours, and the columns of its table by their numbers: a test compares them with the catalogue's.
pub struct Index {
    pub schema: &'static CStr,
    pub table: &'static CStr,
    pub name: &'static CStr,
}

/// True when there is such a table.
pub fn exists(schema: &CStr, table: &CStr) -> bool {
    // SAFETY: C strings.
    unsafe { pg_sys::get_relname_relid(table.as_ptr(), pg_sys::get_namespace_oid(schema.as_ptr(), false)) != pg_sys::InvalidOid }
}

/// What the index's first column equals.
pub enum Key<'a> {
    Uuid(Uuid),
    Octets(&'a [u8]),
    /// Of a column with collation "C".
    Text(&'a str),
}

/// A row; it is gone when the next one is read.
pub struct Found(*mut pg_sys::TupleTableSlot);

impl Found {
    /// The value of a column, counted from 1.
    pub fn get<T: FromDatum + IntoDatum>(&self, column: usize) -> Option<T> {
        // SAFETY: the slot holds a row with all of its columns taken apart; FromDatum copies. A column of another type, which is one that
        // somebody has changed, is not read: its octets would be taken for addresses.
        unsafe {
            if pg_sys::SPI_gettypeid((*self.0).tts_tupleDescriptor, column as i32) != T::type_oid() {
                changed_table();
            }
            let (values, nulls) = ((*self.0).tts_values, (*self.0).tts_isnull);
            T::from_datum(*values.add(column - 1), *nulls.add(column - 1))
        }
    }

    /// The value of a column that is never null.
    pub fn value<T: FromDatum + IntoDatum>(&self, column: usize) -> T {
        self.get(column).unwrap_or_else(|| changed_table())
    }
}

/// Asks several questions of one snapshot.
pub fn as_seen_by<T>(mode: Mode, questions: impl FnOnce() -> T) -> T {
    // SAFETY: what is pushed is popped; an error in between ends the transaction or the subtransaction, and the snapshot with it.
    unsafe {
        match mode {
            // After a COMMIT within a procedure there may be none.
            Mode::Read if !pg_sys::ActiveSnapshotSet() => pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()),
            Mode::Read => return questions(),
            Mode::Write => {
                pg_sys::CommandCounterIncrement();
                pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
            }
            Mode::Latest => {
                pg_sys::CommandCounterIncrement();
                pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
            }
        }
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

/// Goes on while `row` says so.
fn each(index: &Index, key: &Key, row: impl FnMut(&Found) -> bool) {
    as_seen_by(Mode::Read, || scan(index, key, row));
}

fn scan(index: &Index, key: &Key, mut row: impl FnMut(&Found) -> bool) {
    let (procedure, collation, datum) = match key {
        Key::Uuid(id) => (pg_sys::F_UUID_EQ, pg_sys::InvalidOid, id.into_datum()),
        Key::Octets(octets) => (pg_sys::F_BYTEAEQ, pg_sys::InvalidOid, octets.into_datum()),
        Key::Text(text) => (pg_sys::F_TEXTEQ, pg_sys::C_COLLATION_OID.into(), text.into_datum()),
    };
    let datum = datum.expect("a key");
    // SAFETY: the table and the index are open while they are used, and what is begun is ended; where an error comes in between, the server
    // does that. The locks stay to the end of the transaction, as those of statements do.
    unsafe {
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let schema = pg_sys::get_namespace_oid(index.schema.as_ptr(), false);
        let relation = |name: &CStr| match pg_sys::get_relname_relid(name.as_ptr(), schema) {
            pg_sys::InvalidOid => undefined_table(name),
            relation => relation,
        };
        let table = pg_sys::table_open(relation(index.table), lock);
        let by = pg_sys::index_open(relation(index.name), lock);
        let slot = pg_sys::table_slot_create(table, std::ptr::null_mut());
        let mut condition = pg_sys::ScanKeyData::default();
        pg_sys::ScanKeyEntryInitialize(
            &mut condition,
            0,
            1,
            pg_sys::BTEqualStrategyNumber as _,
            pg_sys::InvalidOid,
            collation,
            procedure.into(),
            datum,
        );
        let snapshot = pg_sys::GetActiveSnapshot();
        #[cfg(not(feature = "pg18"))]
        let scan = pg_sys::index_beginscan(table, by, snapshot, 1, 0);
        #[cfg(feature = "pg18")]
        let scan = pg_sys::index_beginscan(table, by, snapshot, std::ptr::null_mut(), 1, 0);
        pg_sys::index_rescan(scan, &mut condition, 1, std::ptr::null_mut(), 0);
        let columns = (*(*table).rd_att).natts;
        while pg_sys::index_getnext_slot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot) {
            pg_sys::slot_getsomeattrs_int(slot, columns);
            if !row(&Found(slot)) {
                break;
            }
        }
        pg_sys::index_endscan(scan);
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::index_close(by, pg_sys::NoLock as pg_sys::LOCKMODE);
        pg_sys::table_close(table, pg_sys::NoLock as pg_sys::LOCKMODE);
    }
}

//! Rows through an index, without a statement, as foreign keys' checks and the catalogues are read: a session is looked up in every
//! statement of everybody, and to start and end a query plan takes several times what the plan does. No policy and no grant stands
//! between; so this is for the questions alone that decide who is calling and what they hold.

use super::raise::{changed_table, undefined_table};
use super::spi::Mode;
use pgrx::datum::{FromDatum, IntoDatum};
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use pgrx::{Uuid, pg_sys};
use std::ffi::{CStr, c_int};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A B-tree of ours, and the columns of its table by their numbers: a test compares them with the catalogue's.
pub struct Index {
    schema: &'static CStr,
    table: &'static CStr,
    name: &'static CStr,
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
        Index { schema, table, name, known: (AtomicU64::new(0), AtomicU64::new(0)) }
    }

    /// The oids of table and index.
    fn oids(&self) -> (u32, u32) {
        let changes = CHANGES.load(Relaxed);
        if self.known.1.load(Relaxed) != changes {
            // SAFETY: C strings.
            let [table, index] = unsafe {
                let schema = pg_sys::get_namespace_oid(self.schema.as_ptr(), false);
                [self.table, self.name].map(|name| match pg_sys::get_relname_relid(name.as_ptr(), schema) {
                    pg_sys::InvalidOid => undefined_table(name),
                    relation => u64::from(relation.to_u32()),
                })
            };
            self.known.0.store(table << 32 | index, Relaxed);
            self.known.1.store(changes, Relaxed);
        }
        let known = self.known.0.load(Relaxed);
        ((known >> 32) as u32, known as u32)
    }
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
            if type_of((*self.0).tts_tupleDescriptor, column) != Some(T::type_oid()) {
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
            Mode::Read if unguarded::ActiveSnapshotSet() => return questions(),
            // After a COMMIT within a procedure there may be none.
            Mode::Read => pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()),
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
fn each(index: &Index, key: &Key, mut row: impl FnMut(&Found) -> bool) {
    as_seen_by(Mode::Read, || {
        let mut cursor = Cursor::open(index, key, false);
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
        let cursor = Cursor::open(index, key, true);
        cursor.close();
        cursor.is_row
    })
}

/// A scan of an index. Where an error comes in between, the server closes it.
struct Cursor {
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    scan: pg_sys::IndexScanDesc,
    slot: *mut pg_sys::TupleTableSlot,
    /// The slot holds a row.
    is_row: bool,
}

impl Cursor {
    /// At the first row; when only whether there is one is asked, without it.
    fn open(index: &Index, key: &Key, is_asked: bool) -> Self {
        let (table, by) = open(index);
        let (key_type, procedure, collation, datum) = match key {
            Key::Uuid(id) => (pg_sys::UUIDOID, pg_sys::F_UUID_EQ, pg_sys::InvalidOid, Some(id.as_bytes().as_ptr().into())),
            Key::Octets(octets) => (pg_sys::BYTEAOID, pg_sys::F_BYTEAEQ, pg_sys::InvalidOid, octets.into_datum()),
            Key::Text(text) => (pg_sys::TEXTOID, pg_sys::F_TEXTEQ, pg_sys::C_COLLATION_OID.into(), text.into_datum()),
        };
        let datum = datum.expect("a key");
        // SAFETY: both are open.
        let (scan, slot, is_row) = unsafe {
            let is_ours = !(*by).rd_index.is_null()
                && (*(*by).rd_index).indrelid == (*table).rd_id
                && (*(*by).rd_rel).relam == pg_sys::BTREE_AM_OID.into()
                && type_of((*by).rd_att, 1) == Some(key_type);
            if !is_ours {
                changed_table();
            }
            pg_guard_ffi_boundary(|| {
                let mut condition = pg_sys::ScanKeyData::default();
                unguarded::ScanKeyEntryInitialize(
                    &mut condition,
                    0,
                    1,
                    pg_sys::BTEqualStrategyNumber as _,
                    pg_sys::InvalidOid,
                    collation,
                    procedure.into(),
                    datum,
                );
                let snapshot = unguarded::GetActiveSnapshot();
                #[cfg(not(feature = "pg18"))]
                let scan = unguarded::index_beginscan(table, by, snapshot, 1, 0);
                #[cfg(feature = "pg18")]
                let scan = unguarded::index_beginscan(table, by, snapshot, null_mut(), 1, 0);
                // Keeps the index's page pinned: between our look at it and at the map VACUUM could otherwise give the row's place away.
                (*scan).xs_want_itup = is_asked;
                unguarded::index_rescan(scan, &mut condition, 1, null_mut(), 0);
                let slot = unguarded::table_slot_create(table, null_mut());
                let is_row = if is_asked { is_there(scan, slot) } else { fetch(scan, slot) };
                (scan, slot, is_row)
            })
        };
        Cursor { table, index: by, scan, slot, is_row }
    }

    fn next(&mut self) {
        // SAFETY: the scan is open.
        self.is_row = unsafe { pg_guard_ffi_boundary(|| fetch(self.scan, self.slot)) };
    }

    /// The locks stay to the end of the transaction, as those of statements do.
    fn close(&self) {
        // SAFETY: all are open, and nobody uses them after.
        unsafe {
            pg_guard_ffi_boundary(|| {
                unguarded::index_endscan(self.scan);
                unguarded::ExecDropSingleTupleTableSlot(self.slot);
                unguarded::relation_close(self.index, NO_LOCK);
                unguarded::relation_close(self.table, NO_LOCK);
            });
        }
    }
}

const LOCK: pg_sys::LOCKMODE = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
const NO_LOCK: pg_sys::LOCKMODE = pg_sys::NoLock as pg_sys::LOCKMODE;

/// Opens the table and the index that have their names when they are locked.
fn open(index: &Index) -> (pg_sys::Relation, pg_sys::Relation) {
    let mut oids = index.oids();
    loop {
        // SAFETY: a relation that is no more is null.
        let opened = unsafe { pg_guard_ffi_boundary(|| [oids.0, oids.1].map(|oid| unguarded::try_relation_open(oid.into(), LOCK))) };
        let now = index.oids();
        if now == oids && !opened.contains(&null_mut()) {
            return opened.into();
        }
        for relation in opened.into_iter().filter(|relation| !relation.is_null()) {
            // SAFETY: it is open.
            unsafe { pg_sys::relation_close(relation, NO_LOCK) };
        }
        if now == oids {
            undefined_table(index.table);
        }
        oids = now;
    }
}

/// The next row, with all of its columns taken apart.
///
/// # Safety
/// Under a guard of pgrx's, with an open scan and a slot for its table's rows.
unsafe fn fetch(scan: pg_sys::IndexScanDesc, slot: *mut pg_sys::TupleTableSlot) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let is_row = unguarded::index_getnext_slot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot);
        if is_row {
            unguarded::slot_getsomeattrs_int(slot, (*(*slot).tts_tupleDescriptor).natts.into());
        }
        is_row
    }
}

/// Whether there is a row: what an index-only scan does.
///
/// # Safety
/// As [`fetch`], and the scan wants the index's rows.
unsafe fn is_there(scan: pg_sys::IndexScanDesc, slot: *mut pg_sys::TupleTableSlot) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let (table, mut map) = ((*scan).heapRelation, pg_sys::InvalidBuffer as pg_sys::Buffer);
        let mut is_there = false;
        while !is_there {
            let place = unguarded::index_getnext_tid(scan, pg_sys::ScanDirection::ForwardScanDirection);
            if place.is_null() {
                break;
            }
            let block = u32::from((*place).ip_blkid.bi_hi) << 16 | u32::from((*place).ip_blkid.bi_lo);
            is_there = if u32::from(unguarded::visibilitymap_get_status(table, block, &mut map)) & pg_sys::VISIBILITYMAP_ALL_VISIBLE != 0 {
                unguarded::PredicateLockPage(table, block, (*scan).xs_snapshot);
                true
            } else {
                unguarded::index_fetch_heap(scan, slot)
            };
        }
        if map != pg_sys::InvalidBuffer as pg_sys::Buffer {
            unguarded::ReleaseBuffer(map);
        }
        is_there
    }
}

/// The type of a column, counted from 1.
///
/// # Safety
/// It must describe rows.
unsafe fn type_of(rows: pg_sys::TupleDesc, column: usize) -> Option<pg_sys::Oid> {
    // SAFETY: the caller's promise; as pgrx finds the columns.
    unsafe {
        let columns = (*rows).natts as usize;
        #[cfg(not(feature = "pg18"))]
        let first: *const pg_sys::FormData_pg_attribute = (*rows).attrs.as_ptr();
        #[cfg(feature = "pg18")]
        let first: *const pg_sys::FormData_pg_attribute = (*rows).compact_attrs.as_ptr().add(columns).cast();
        (1..=columns).contains(&column).then(|| (*first.add(column - 1)).atttypid)
    }
}

/// The server's functions without the guard that pgrx puts around each: a guard takes longer than some of these do. They are called under
/// one together, in frames that hold nothing to drop.
mod unguarded {
    use pgrx::pg_sys::*;
    use std::ffi::c_int;

    unsafe extern "C-unwind" {
        pub fn try_relation_open(relation: Oid, lock: LOCKMODE) -> Relation;
        pub fn relation_close(relation: Relation, lock: LOCKMODE);
        pub fn ScanKeyEntryInitialize(
            entry: ScanKey,
            flags: c_int,
            column: AttrNumber,
            strategy: StrategyNumber,
            subtype: Oid,
            collation: Oid,
            procedure: RegProcedure,
            argument: Datum,
        );
        pub fn ActiveSnapshotSet() -> bool;
        pub fn GetActiveSnapshot() -> Snapshot;
        #[cfg(not(feature = "pg18"))]
        pub fn index_beginscan(table: Relation, index: Relation, snapshot: Snapshot, keys: c_int, order_bys: c_int) -> IndexScanDesc;
        #[cfg(feature = "pg18")]
        pub fn index_beginscan(
            table: Relation,
            index: Relation,
            snapshot: Snapshot,
            instrument: *mut IndexScanInstrumentation,
            keys: c_int,
            order_bys: c_int,
        ) -> IndexScanDesc;
        pub fn index_rescan(scan: IndexScanDesc, keys: ScanKey, key_count: c_int, order_bys: ScanKey, order_by_count: c_int);
        pub fn index_getnext_slot(scan: IndexScanDesc, direction: ScanDirection::Type, slot: *mut TupleTableSlot) -> bool;
        pub fn index_getnext_tid(scan: IndexScanDesc, direction: ScanDirection::Type) -> ItemPointer;
        pub fn index_fetch_heap(scan: IndexScanDesc, slot: *mut TupleTableSlot) -> bool;
        pub fn index_endscan(scan: IndexScanDesc);
        pub fn table_slot_create(table: Relation, slots: *mut *mut List) -> *mut TupleTableSlot;
        pub fn slot_getsomeattrs_int(slot: *mut TupleTableSlot, column: c_int);
        pub fn ExecDropSingleTupleTableSlot(slot: *mut TupleTableSlot);
        pub fn visibilitymap_get_status(table: Relation, block: BlockNumber, map: *mut Buffer) -> uint8;
        pub fn PredicateLockPage(table: Relation, block: BlockNumber, snapshot: Snapshot);
        pub fn ReleaseBuffer(buffer: Buffer);
    }
}

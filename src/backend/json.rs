//! jsonb in and out. Not pgrx's type: that one panics at what it cannot read, and rounds numbers to what a float holds.

use super::jsonb::{self, ToJsonb};
use super::memory;
use super::raise::changed_table;
use crate::error::{Result, invalid};
use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::datum::{Datum, FromDatum, IntoDatum, TimestampWithTimeZone};
use pgrx::nullable::Nullable;
use pgrx::pgrx_sql_entity_graph::metadata::{ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin};
use pgrx::{direct_function_call, pg_sys};
use serde::Deserialize;
use serde_json::Value;
use std::ffi::CStr;

/// Deepest nesting that is read. Reading recurses, and a stack that overflows takes the whole cluster down.
const MAX_DEPTH: usize = 500;

/// Most that is read. What anything here stores is smaller, and parsing takes thirty times the memory.
const MAX_LENGTH: usize = 1_000_000;

/// Largest jsonb that is looked at: what is readable takes less.
const MAX_OCTETS: usize = 8_000_000;

/// A jsonb.
#[derive(Debug)]
pub struct Json(pub Value);

impl Json {
    /// What it is as JSON. An error where a table holds what cannot be read.
    pub fn of(rendered: &impl ToJsonb) -> Self {
        let whole = jsonb::whole(rendered);
        // SAFETY: a jsonb, of our own making.
        let value = unsafe { read_jsonb(whole) };
        // SAFETY: nobody else has it.
        unsafe { pg_sys::pfree(whole.cast_mut_ptr()) };
        Json(value.unwrap_or_else(|| changed_table()))
    }

    /// Reads JSON; none where we cannot.
    pub fn read(text: &str) -> Option<Value> {
        read(text)
    }
}

/// A jsonb that a client gives, which may be one that cannot be read. Whether it is can be said within [`run`](super::raise::run) alone: before,
/// other arguments are there already, which an error would jump over and leave behind for as long as the connection lasts.
pub struct Given(Option<Value>);

impl Given {
    /// INVALID_ARGUMENT for one that cannot be read.
    pub fn read(self) -> Result<Value> {
        self.0.ok_or_else(|| invalid("jsonb"))
    }
}

/// A jsonb that nobody here needs to read, or that is too large for it: it stays as the server has it.
pub struct WholeJson(pub(super) pg_sys::Datum);

impl WholeJson {
    /// False for anything else than an array.
    pub fn is_array(&self) -> bool {
        // SAFETY: a jsonb, an argument and so not toasted, whose first word after the length says what it is; see utils/jsonb.h. A scalar is
        // stored as an array of one with a flag of its own.
        let header = unsafe { (*self.0.cast_mut_ptr::<pg_sys::Jsonb>()).root.header };
        header & pg_sys::JB_FARRAY != 0 && header & pg_sys::JB_FSCALAR == 0
    }
}

impl FromDatum for WholeJson {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _type: pg_sys::Oid) -> Option<Self> {
        // SAFETY: the caller's promise: a jsonb. Once, so that nothing that reads of it does it again; and a copy also of what is not toasted,
        // which may lie in a page that is let go.
        (!is_null).then(|| WholeJson(unsafe { pg_sys::pg_detoast_datum_copy(datum.cast_mut_ptr()) }.into()))
    }
}

impl WholeJson {
    /// What it is as JSON.
    pub fn of(rendered: &impl ToJsonb) -> Self {
        WholeJson(jsonb::whole(rendered))
    }

    /// A column of a row, which lasts beyond the statement.
    ///
    /// # Safety
    /// Within a connection to SPI, a jsonb that is not null.
    pub unsafe fn of_row(datum: pg_sys::Datum) -> Self {
        // SAFETY: the caller's promise.
        WholeJson(unsafe { pg_sys::SPI_datumTransfer(datum, false, -1) })
    }
}

/// As to_jsonb writes it.
pub fn moment(moment: TimestampWithTimeZone) -> String {
    let mut buffer = [0_u8; pg_sys::MAXDATELEN as usize + 1];
    // SAFETY: the buffer is as large as the server's own for it.
    unsafe {
        let datum = moment.into_datum().expect("a moment");
        pg_sys::JsonEncodeDateTime(buffer.as_mut_ptr().cast(), datum, pg_sys::TIMESTAMPTZOID, std::ptr::null());
    }
    CStr::from_bytes_until_nul(&buffer).ok().and_then(|text| text.to_str().ok()).unwrap_or_default().to_owned()
}

impl IntoDatum for WholeJson {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        Some(self.0)
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

impl IntoDatum for &WholeJson {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        Some(self.0)
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn read(text: &str) -> Option<Value> {
    if text.len() > MAX_LENGTH || depth(text) > MAX_DEPTH || has_number_key(text) {
        return None;
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.disable_recursion_limit();
    Value::deserialize(&mut deserializer).ok()
}

/// What a jsonb is as JSON; none for one that we cannot read.
///
/// # Safety
/// It must be one.
unsafe fn read_jsonb(datum: pg_sys::Datum) -> Option<Value> {
    // SAFETY: the caller's promise. Its text is a C string in the server's memory.
    unsafe {
        let text = memory::with_reserve(|| {
            let detoasted = pg_sys::pg_detoast_datum(datum.cast_mut_ptr());
            if !is_readable(detoasted.cast()) {
                return None;
            }
            direct_function_call::<&CStr>(pg_sys::jsonb_out, &[Some(detoasted.into())])
        })?;
        let value = text.to_str().ok().and_then(read);
        pg_sys::pfree(text.as_ptr().cast_mut().cast());
        value
    }
}

/// Whether what it holds is within MAX_LENGTH as text, without writing it all: a number of 16 octets may have 131,072 digits, and a request of some
/// kilobytes would take gigabytes.
///
/// # Safety
/// It must be a jsonb that is not toasted.
unsafe fn is_readable(jsonb: *mut pg_sys::Jsonb) -> bool {
    // SAFETY: the caller's promise; the iterator writes values that refer to the jsonb.
    unsafe {
        let (mut iterator, mut value) = (pg_sys::JsonbIteratorInit(&raw mut (*jsonb).root), std::mem::zeroed::<pg_sys::JsonbValue>());
        let mut length = 0;
        while length <= MAX_LENGTH {
            use pg_sys::JsonbIteratorToken::{WJB_DONE, WJB_ELEM, WJB_KEY, WJB_VALUE};
            length += match pg_sys::JsonbIteratorNext(&raw mut iterator, &raw mut value, false) {
                WJB_DONE => return true,
                WJB_KEY | WJB_VALUE | WJB_ELEM if value.type_ == pg_sys::jbvType::jbvString => value.val.string.len as usize,
                WJB_VALUE | WJB_ELEM if value.type_ == pg_sys::jbvType::jbvNumeric => {
                    let digits: &CStr =
                        direct_function_call(pg_sys::numeric_out, &[Some(value.val.numeric.into())]).expect("a number's digits");
                    let length = digits.count_bytes();
                    pg_sys::pfree(digits.as_ptr().cast_mut().cast());
                    length
                }
                _ => 1,
            };
        }
        false
    }
}

/// Whether some object has a key that, with serde's arbitrary precision, makes a number of it: data would change in silence.
fn has_number_key(text: &str) -> bool {
    const KEYS: &str = "\"$serde_json::private::";
    text.match_indices(KEYS).any(|(at, _)| {
        // Of a text that only mentions it the quotes are escaped; a text that is nothing else is no key.
        let rest = text[at + KEYS.len()..].trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        rest.strip_prefix('"').is_some_and(|rest| rest.trim_ascii_start().starts_with(':'))
    })
}

impl FromDatum for Given {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _type: pg_sys::Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: the caller's promise: a jsonb.
        unsafe {
            if pg_sys::toast_raw_datum_size(datum) > MAX_OCTETS {
                return Some(Given(None));
            }
            Some(Given(read_jsonb(datum)))
        }
    }
}

impl FromDatum for Json {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, kind: pg_sys::Oid) -> Option<Self> {
        // SAFETY: the caller's promise.
        let given = unsafe { Given::from_polymorphic_datum(datum, is_null, kind) }?;
        Some(Json(given.0.unwrap_or_else(|| changed_table())))
    }
}

impl IntoDatum for Json {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        Some(WholeJson::of(&self.0).0)
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

macro_rules! argument {
    ($type:ident $ident:literal) => {
        // SAFETY: a jsonb argument is unboxed by `FromDatum`, as pgrx does for its own type.
        unsafe impl<'fcx> ArgAbi<'fcx> for $type {
            unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
                // SAFETY: the caller's promise.
                unsafe { arg.unbox_arg_using_from_datum() }.expect("an argument that is not null")
            }

            unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
                // SAFETY: the caller's promise.
                unsafe { arg.unbox_arg_using_from_datum() }.into()
            }
        }

        // SAFETY: jsonb it is.
        unsafe impl SqlTranslatable for $type {
            const TYPE_IDENT: &'static str = $ident;
            const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
            const ARGUMENT_SQL: std::result::Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("jsonb"));
            const RETURN_SQL: std::result::Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal("jsonb")));
        }
    };
}

argument!(Given "pg_auth::Given");
argument!(Json "pg_auth::Json");
argument!(WholeJson "pg_auth::WholeJson");

// SAFETY: the datum is a jsonb in the server's memory.
unsafe impl BoxRet for WholeJson {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        // SAFETY: the function is declared to return jsonb.
        unsafe { fcinfo.return_raw_datum(self.0) }
    }
}

// SAFETY: as above.
unsafe impl BoxRet for Json {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        match self.into_datum() {
            // SAFETY: the function is declared to return jsonb.
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}

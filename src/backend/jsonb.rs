//! A jsonb made of its pieces. Written as text first, the server would have to read what we had just written: as much again.

use super::json::WholeJson;
use pgrx::{direct_function_call_as_datum, pg_sys};
use serde_json::{Number, Value};
use std::cell::RefCell;
use std::ffi::CString;
use std::marker::PhantomData;

/// A piece, which refers to what it is a piece of.
pub struct Piece<'a>(pg_sys::JsonbValue, PhantomData<&'a ()>);

/// What pieces refer to that stands nowhere else.
#[derive(Default)]
pub struct Ground {
    texts: RefCell<Vec<String>>,
    arrays: RefCell<Vec<Vec<pg_sys::JsonbValue>>>,
    objects: RefCell<Vec<Vec<pg_sys::JsonbPair>>>,
}

/// What there is a jsonb of.
pub trait ToJsonb {
    /// It, as a piece of something larger.
    fn piece<'a>(&'a self, ground: &'a Ground) -> Piece<'a>;
}

/// The jsonb of a struct: its fields by their names, quickest in jsonb's order, which is by length and then by octets.
macro_rules! object_of {
    ($type:ty: $($field:ident),+) => {
        impl $crate::backend::jsonb::ToJsonb for $type {
            fn piece<'a>(&'a self, ground: &'a $crate::backend::jsonb::Ground) -> $crate::backend::jsonb::Piece<'a> {
                // None is forgotten.
                let Self { $($field),+ } = self;
                ground.object([$((stringify!($field), $crate::backend::jsonb::ToJsonb::piece($field, ground))),+])
            }
        }
    };
}
pub(crate) use object_of;

/// It in the server's memory. An error where it is larger than a jsonb can be.
pub fn whole(of: &impl ToJsonb) -> pg_sys::Datum {
    let ground = Ground::default();
    let mut piece = of.piece(&ground);
    // SAFETY: what the piece refers to stands as long as it does, and is only read; the server copies.
    unsafe { pg_sys::JsonbValueToJsonb(&raw mut piece.0) }.into()
}

impl<'a> Piece<'a> {
    const NULL: Self = Piece::new(pg_sys::jbvType::jbvNull, pg_sys::JsonbValue__bindgen_ty_1 { boolean: false });

    const fn new(type_: pg_sys::jbvType::Type, val: pg_sys::JsonbValue__bindgen_ty_1) -> Self {
        Piece(pg_sys::JsonbValue { type_, val }, PhantomData)
    }

    fn text(text: &'a str) -> Self {
        // No text of the server's has one, nor one that comes from elsewhere and could get here. In a jsonb the server's functions would end
        // the text there, or part of them would.
        assert!(!text.as_bytes().contains(&0), "no jsonb holds a NUL");
        let string = pg_sys::JsonbValue__bindgen_ty_1__bindgen_ty_1 { len: length(text.len()), val: text.as_ptr().cast_mut().cast() };
        Piece::new(pg_sys::jbvType::jbvString, pg_sys::JsonbValue__bindgen_ty_1 { string })
    }

    fn number(numeric: pg_sys::Numeric) -> Self {
        Piece::new(pg_sys::jbvType::jbvNumeric, pg_sys::JsonbValue__bindgen_ty_1 { numeric })
    }
}

impl Ground {
    /// A text that was made for this.
    fn text(&self, text: String) -> Piece<'_> {
        // Where its octets lie does not change when it is moved.
        let piece = Piece::text(&text).0;
        self.texts.borrow_mut().push(text);
        Piece(piece, PhantomData)
    }

    /// An object; of keys that are all different.
    pub fn object<'a>(&'a self, fields: impl IntoIterator<Item = (&'a str, Piece<'a>)>) -> Piece<'a> {
        let pair = |(key, value): (&'a str, Piece<'a>)| pg_sys::JsonbPair { key: Piece::text(key).0, value: value.0, order: 0 };
        let mut fields: Vec<(&str, Piece)> = fields.into_iter().collect();
        // As the server looks keys up.
        fields.sort_by_key(|(key, _)| (key.len(), *key));
        let mut pairs: Vec<_> = fields.into_iter().map(pair).collect();
        let object = pg_sys::JsonbValue__bindgen_ty_1__bindgen_ty_3 { nPairs: length(pairs.len()), pairs: pairs.as_mut_ptr() };
        self.objects.borrow_mut().push(pairs);
        Piece::new(pg_sys::jbvType::jbvObject, pg_sys::JsonbValue__bindgen_ty_1 { object })
    }

    fn array<'a>(&'a self, elements: impl IntoIterator<Item = Piece<'a>>) -> Piece<'a> {
        let mut elements: Vec<_> = elements.into_iter().map(|element| element.0).collect();
        let array = pg_sys::JsonbValue__bindgen_ty_1__bindgen_ty_2 {
            nElems: length(elements.len()),
            elems: elements.as_mut_ptr(),
            rawScalar: false,
        };
        self.arrays.borrow_mut().push(elements);
        Piece::new(pg_sys::jbvType::jbvArray, pg_sys::JsonbValue__bindgen_ty_1 { array })
    }
}

fn length(length: usize) -> i32 {
    length.try_into().expect("what memory has held")
}

impl ToJsonb for String {
    fn piece<'a>(&'a self, _ground: &'a Ground) -> Piece<'a> {
        Piece::text(self)
    }
}

impl ToJsonb for bool {
    fn piece<'a>(&'a self, _ground: &'a Ground) -> Piece<'a> {
        Piece::new(pg_sys::jbvType::jbvBool, pg_sys::JsonbValue__bindgen_ty_1 { boolean: *self })
    }
}

impl ToJsonb for i64 {
    fn piece<'a>(&'a self, _ground: &'a Ground) -> Piece<'a> {
        // SAFETY: any number will do.
        Piece::number(unsafe { pg_sys::int64_to_numeric(*self) })
    }
}

impl ToJsonb for Number {
    fn piece<'a>(&'a self, _ground: &'a Ground) -> Piece<'a> {
        // All of its digits, as many as they are.
        let text = CString::new(self.to_string()).expect("digits");
        let arguments = [Some(text.as_ptr().into()), Some(pg_sys::InvalidOid.into()), Some((-1_i32).into())];
        // SAFETY: as the function is declared; the C string outlives the call.
        let read = unsafe { direct_function_call_as_datum(pg_sys::numeric_in, &arguments) };
        Piece::number(read.expect("numeric_in is strict").cast_mut_ptr())
    }
}

impl ToJsonb for uuid::Uuid {
    fn piece<'a>(&'a self, ground: &'a Ground) -> Piece<'a> {
        ground.text(self.to_string())
    }
}

impl<T: ToJsonb> ToJsonb for Option<T> {
    fn piece<'a>(&'a self, ground: &'a Ground) -> Piece<'a> {
        self.as_ref().map_or(Piece::NULL, |it| it.piece(ground))
    }
}

impl<T: ToJsonb> ToJsonb for Vec<T> {
    fn piece<'a>(&'a self, ground: &'a Ground) -> Piece<'a> {
        ground.array(self.iter().map(|element| element.piece(ground)))
    }
}

impl ToJsonb for Value {
    fn piece<'a>(&'a self, ground: &'a Ground) -> Piece<'a> {
        match self {
            Value::Null => Piece::NULL,
            Value::Bool(it) => it.piece(ground),
            Value::Number(number) => number.piece(ground),
            Value::String(text) => Piece::text(text),
            Value::Array(elements) => elements.piece(ground),
            Value::Object(fields) => ground.object(fields.iter().map(|(key, value)| (key.as_str(), value.piece(ground)))),
        }
    }
}

impl ToJsonb for WholeJson {
    fn piece<'a>(&'a self, _ground: &'a Ground) -> Piece<'a> {
        let mut state = std::ptr::null_mut();
        // SAFETY: a jsonb that outlives the piece, which refers to its texts. The server takes it apart, a scalar out of the array that it is
        // stored as.
        unsafe {
            let jsonb: *mut pg_sys::Jsonb = pg_sys::pg_detoast_datum(self.0.cast_mut_ptr()).cast();
            let mut value = Piece::NULL.0;
            if pg_sys::JsonbExtractScalar(&raw mut (*jsonb).root, &raw mut value) {
                return Piece(value, PhantomData);
            }
            pg_sys::JsonbToJsonbValue(jsonb, &raw mut value);
            Piece(*pg_sys::pushJsonbValue(&raw mut state, pg_sys::JsonbIteratorToken::WJB_VALUE, &raw mut value), PhantomData)
        }
    }
}

/// A value of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(u32);

/// A part of the pickle's bytes. Pickles are far smaller than 4 GiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    pub(super) fn new(start: usize, len: usize) -> Self {
        Self { start: start as u32, len: len as u32 }
    }
}

/// A growable list: its first and its last cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    first: u32,
    last: u32,
}

const NO_CELL: u32 = u32::MAX;

impl Chain {
    pub(super) const EMPTY: Self = Self { first: NO_CELL, last: NO_CELL };
}

#[derive(Clone, Copy)]
struct Cell {
    value: Id,
    next: u32,
}

/// A value in a pickle. Small and `Copy`: it refers to others by [`Id`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than eight bytes, little-endian.
    Long(Span),
    Text(Span),
    List(Chain),
    Tuple {
        start: u32,
        len: u32,
    },
    /// Keys and values, alternating.
    Dict(Chain),
    /// The name of a Python object. Never looked up.
    Global {
        module: Id,
        name: Id,
    },
    /// Index of an [`Object`].
    Object(u32),
    /// A reference to something outside the pickle: in PyTorch, a storage.
    Persistent(Id),
    /// Floats, bytes and sets, which do not describe tensors.
    Opaque,
}

/// An object that Python would create by a call: the recorded call, and the items added later.
#[derive(Clone, Copy)]
pub(crate) struct Object {
    pub(crate) callee: Id,
    pub(crate) args: Id,
    pub(crate) state: Option<Id>,
    items: Chain,
}

/// All values of a pickle, in an arena.
///
/// Values refer to each other by index and own nothing. A value nested a million times deep is dropped without
/// recursion, and a value that contains itself needs no special treatment.
pub(crate) struct Graph<'a> {
    bytes: &'a [u8],
    values: Vec<Value>,
    cells: Vec<Cell>,
    tuples: Vec<Id>,
    objects: Vec<Object>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, values: vec![], cells: vec![], tuples: vec![], objects: vec![] }
    }

    /// The length of the longest arena, for the limit.
    pub(super) fn len(&self) -> usize {
        self.values.len().max(self.cells.len()).max(self.tuples.len())
    }

    pub(super) fn add(&mut self, value: Value) -> Id {
        self.values.push(value);
        Id(self.values.len() as u32 - 1)
    }

    pub(super) fn add_tuple(&mut self, items: &[Id]) -> Id {
        let start = self.tuples.len() as u32;
        self.tuples.extend_from_slice(items);
        self.add(Value::Tuple { start, len: items.len() as u32 })
    }

    pub(super) fn add_object(&mut self, callee: Id, args: Id) -> Id {
        self.objects.push(Object { callee, args, state: None, items: Chain::EMPTY });
        self.add(Value::Object(self.objects.len() as u32 - 1))
    }

    /// Appends to a list, or keys and values to a dict or an object; `false` if `target` is neither.
    pub(super) fn append(&mut self, target: Id, values: &[Id]) -> bool {
        let mut chain = match self.value(target) {
            Value::List(chain) | Value::Dict(chain) => chain,
            Value::Object(index) => self.objects[index as usize].items,
            _ => return false,
        };
        for &value in values {
            let cell = self.cells.len() as u32;
            self.cells.push(Cell { value, next: NO_CELL });
            match chain.last {
                NO_CELL => chain.first = cell,
                last => self.cells[last as usize].next = cell,
            }
            chain.last = cell;
        }
        match &mut self.values[target.0 as usize] {
            Value::List(old) | Value::Dict(old) => *old = chain,
            Value::Object(index) => self.objects[*index as usize].items = chain,
            _ => {}
        }
        true
    }

    /// Sets the state of an object; `false` if `target` is not an object.
    pub(super) fn set_state(&mut self, target: Id, state: Id) -> bool {
        let Value::Object(index) = self.value(target) else { return false };
        self.objects[index as usize].state = Some(state);
        true
    }

    pub(crate) fn value(&self, id: Id) -> Value {
        self.values[id.0 as usize]
    }

    /// Every value, reachable or not, in the order of the pickle.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        (0..self.values.len() as u32).map(Id)
    }

    pub(crate) fn bytes(&self, span: Span) -> &'a [u8] {
        &self.bytes[span.start as usize..][..span.len as usize]
    }

    pub(crate) fn text(&self, id: Id) -> Option<&'a str> {
        match self.value(id) {
            Value::Text(span) => std::str::from_utf8(self.bytes(span)).ok(),
            _ => None,
        }
    }

    pub(crate) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.value(id) {
            Value::Tuple { start, len } => Some(&self.tuples[start as usize..][..len as usize]),
            _ => None,
        }
    }

    /// Module and name of a global.
    pub(crate) fn global(&self, id: Id) -> Option<(&'a str, &'a str)> {
        match self.value(id) {
            Value::Global { module, name } => Some((self.text(module)?, self.text(name)?)),
            _ => None,
        }
    }

    pub(crate) fn object(&self, id: Id) -> Option<Object> {
        match self.value(id) {
            Value::Object(index) => Some(self.objects[index as usize]),
            _ => None,
        }
    }

    /// The object, and the module and name of the global that created it.
    pub(crate) fn call(&self, id: Id) -> Option<(&'a str, &'a str, Object)> {
        let object = self.object(id)?;
        let (module, name) = self.global(object.callee)?;
        Some((module, name, object))
    }

    /// The items of a list.
    pub(crate) fn list(&self, id: Id) -> Option<impl Iterator<Item = Id>> {
        match self.value(id) {
            Value::List(chain) => Some(self.walk(chain)),
            _ => None,
        }
    }

    /// Keys and values of a dict, or of an object that was filled like one (`OrderedDict` and other subclasses).
    pub(crate) fn dict(&self, id: Id) -> Option<impl Iterator<Item = (Id, Id)>> {
        let chain = match self.value(id) {
            Value::Dict(chain) => chain,
            Value::Object(index) => self.objects[index as usize].items,
            _ => return None,
        };
        let mut items = self.walk(chain);
        Some(std::iter::from_fn(move || Some((items.next()?, items.next()?))))
    }

    // Terminates: a cell's successor is always younger than the cell.
    fn walk(&self, chain: Chain) -> impl Iterator<Item = Id> {
        let mut next = chain.first;
        std::iter::from_fn(move || {
            let cell = self.cells.get(next as usize)?;
            next = cell.next;
            Some(cell.value)
        })
    }
}

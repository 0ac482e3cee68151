use std::collections::HashMap;

use super::PickleError;
use super::cursor::Cursor;
use super::graph::{Graph, Id, Value};

/// The limit on values, items, stack entries and memo entries. A state dict has about ten values per tensor.
const MAX_VALUES: usize = 1 << 18;

/// A parsed pickle.
pub(crate) struct Pickle<'a> {
    pub(crate) graph: Graph<'a>,
    pub(crate) root: Id,
    /// The offset after its last byte.
    pub(crate) end: usize,
}

/// Reads the pickle that starts at `start`.
pub(crate) fn parse(bytes: &[u8], start: usize) -> Result<Pickle<'_>, PickleError> {
    let machine = Machine {
        cursor: Cursor::new(bytes, start),
        graph: Graph::new(bytes),
        stack: vec![],
        marks: vec![],
        memo: HashMap::new(),
        at: start,
    };
    machine.run()
}

/// A stack machine that builds values and calls nothing. Its opcodes are in a separate file.
pub(super) struct Machine<'a> {
    pub(super) cursor: Cursor<'a>,
    pub(super) graph: Graph<'a>,
    pub(super) stack: Vec<Id>,
    /// The heights of the stack at its MARKs; entries below the last one are out of reach.
    pub(super) marks: Vec<usize>,
    pub(super) memo: HashMap<u32, Id>,
    /// The offset of the current opcode.
    at: usize,
}

impl<'a> Machine<'a> {
    fn run(mut self) -> Result<Pickle<'a>, PickleError> {
        loop {
            self.at = self.cursor.position();
            let opcode = self.cursor.u8()?;
            if opcode == b'.' {
                let root = self.pop()?;
                return Ok(Pickle { graph: self.graph, root, end: self.cursor.position() });
            }
            self.step(opcode)?;
            let largest = self.stack.len().max(self.marks.len()).max(self.memo.len());
            if largest.max(self.graph.len()) > MAX_VALUES {
                return Err(self.error(format!("more than {MAX_VALUES} values; no state dict")));
            }
        }
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> PickleError {
        PickleError { offset: self.at, problem: problem.into() }
    }

    pub(super) fn push(&mut self, value: Value) {
        let id = self.graph.add(value);
        self.stack.push(id);
    }

    /// The height of the stack below its `count` topmost values.
    pub(super) fn below(&self, count: usize) -> Result<usize, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(height) if height >= floor => Ok(height),
            _ => Err(self.error("takes from an empty stack; the file is damaged")),
        }
    }

    pub(super) fn top(&self) -> Result<Id, PickleError> {
        Ok(self.stack[self.below(1)?])
    }

    pub(super) fn pop(&mut self) -> Result<Id, PickleError> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    pub(super) fn pop_mark(&mut self) -> Result<usize, PickleError> {
        self.marks.pop().ok_or_else(|| self.error("no MARK on the stack; the file is damaged"))
    }

    pub(super) fn long(&mut self, len: u64) -> Result<(), PickleError> {
        let span = self.cursor.span(len)?;
        let bytes = self.graph.bytes(span);
        self.push(if bytes.len() > 8 {
            Value::Long(span)
        } else {
            // Two's complement: the sign is the last byte's highest bit.
            let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
            let mut all = [if negative { 0xff } else { 0 }; 8];
            all[..bytes.len()].copy_from_slice(bytes);
            Value::Int(i64::from_le_bytes(all))
        });
        Ok(())
    }

    pub(super) fn text(&mut self, len: u64) -> Result<(), PickleError> {
        let span = self.cursor.span(len)?;
        self.push(Value::Text(span));
        Ok(())
    }

    pub(super) fn opaque_bytes(&mut self, len: u64) -> Result<(), PickleError> {
        self.cursor.span(len)?;
        self.push(Value::Opaque);
        Ok(())
    }

    /// Makes a tuple of the values above `height`.
    pub(super) fn tuple(&mut self, height: usize) -> Result<(), PickleError> {
        let tuple = self.graph.add_tuple(&self.stack[height..]);
        self.stack.truncate(height);
        self.stack.push(tuple);
        Ok(())
    }

    /// Appends the values above `height` to the list below them. Items of a set or a list-like object are dropped: they
    /// contain no tensor of a state dict.
    pub(super) fn append(&mut self, height: usize) -> Result<(), PickleError> {
        let items = self.stack.split_off(height);
        let target = self.top()?;
        match self.graph.value(target) {
            Value::List(_) => {
                self.graph.append(target, &items);
            }
            Value::Object(_) => {}
            _ => return Err(self.error("APPENDS to something that is not a list")),
        }
        Ok(())
    }

    /// Inserts the values above `height`, keys and values, into the dict below them.
    pub(super) fn set_items(&mut self, height: usize) -> Result<(), PickleError> {
        let items = self.stack.split_off(height);
        let target = self.top()?;
        if !items.len().is_multiple_of(2) {
            return Err(self.error("SETITEMS with a key that has no value; the file is damaged"));
        }
        let fits = matches!(self.graph.value(target), Value::Dict(_) | Value::Object(_));
        if !fits || !self.graph.append(target, &items) {
            return Err(self.error("SETITEMS to something that is not a dict"));
        }
        Ok(())
    }

    pub(super) fn object(&mut self, callee: Id, args: Id) -> Result<(), PickleError> {
        let callable = matches!(self.graph.value(callee), Value::Global { .. } | Value::Object(_));
        if !callable || self.graph.tuple(args).is_none() {
            return Err(
                self.error("a call of something that is not a function; the file is damaged")
            );
        }
        let object = self.graph.add_object(callee, args);
        self.stack.push(object);
        Ok(())
    }

    pub(super) fn put(&mut self, index: u32) -> Result<(), PickleError> {
        let id = self.top()?;
        self.memo.insert(index, id);
        Ok(())
    }

    pub(super) fn get(&mut self, index: u32) -> Result<(), PickleError> {
        match self.memo.get(&index) {
            Some(&id) => {
                self.stack.push(id);
                Ok(())
            }
            None => Err(self.error(format!("memo entry {index} was never put there"))),
        }
    }
}

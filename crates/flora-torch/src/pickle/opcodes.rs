//! The opcodes.

use super::PickleError;
use super::graph::{Chain, Value};
use super::machine::Machine;

impl Machine<'_> {
    /// Runs one opcode.
    ///
    /// The opcodes are those of `pickletools` in Python's standard library, protocols 2 to 5. The ones of protocols 0
    /// and 1 that no later protocol writes, the extension registry and out-of-band buffers are not supported.
    pub(super) fn step(&mut self, opcode: u8) -> Result<(), PickleError> {
        match opcode {
            // PROTO, FRAME
            0x80 => match self.cursor.u8()? {
                2..=5 => {}
                protocol => return Err(self.error(format!("protocol {protocol}; 2 to 5 are read"))),
            },
            0x95 => {
                self.cursor.u64()?;
            }
            // MARK, POP, POP_MARK, DUP
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                // Python's POP also removes a MARK at the top.
                if self.marks.pop_if(|height| *height == self.stack.len()).is_none() {
                    self.pop()?;
                }
            }
            b'1' => {
                let height = self.pop_mark()?;
                self.stack.truncate(height);
            }
            b'2' => self.stack.push(self.top()?),
            // NONE, NEWTRUE, NEWFALSE, BINFLOAT
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'G' => {
                self.cursor.u64()?;
                self.push(Value::Opaque);
            }
            // BININT, BININT1, BININT2, LONG1, LONG4
            b'J' => {
                let value = self.cursor.u32()?.cast_signed();
                self.push(Value::Int(value.into()));
            }
            b'K' => {
                let value = self.cursor.u8()?;
                self.push(Value::Int(value.into()));
            }
            b'M' => {
                let value = self.cursor.u16()?;
                self.push(Value::Int(value.into()));
            }
            0x8a => {
                let len = self.cursor.u8()?;
                self.long(len.into())?;
            }
            0x8b => {
                let len = self.cursor.u32()?;
                self.long(len.into())?;
            }
            // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8; BINSTRING, SHORT_BINSTRING (of Python 2)
            b'X' | b'T' => {
                let len = self.cursor.u32()?;
                self.text(len.into())?;
            }
            0x8c | b'U' => {
                let len = self.cursor.u8()?;
                self.text(len.into())?;
            }
            0x8d => {
                let len = self.cursor.u64()?;
                self.text(len)?;
            }
            // BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8
            b'B' => {
                let len = self.cursor.u32()?;
                self.opaque_bytes(len.into())?;
            }
            b'C' => {
                let len = self.cursor.u8()?;
                self.opaque_bytes(len.into())?;
            }
            0x8e | 0x96 => {
                let len = self.cursor.u64()?;
                self.opaque_bytes(len)?;
            }
            // EMPTY_LIST, EMPTY_DICT, EMPTY_SET
            b']' => self.push(Value::List(Chain::EMPTY)),
            b'}' => self.push(Value::Dict(Chain::EMPTY)),
            0x8f => self.push(Value::Opaque),
            // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE
            b')' => self.tuple(self.stack.len())?,
            0x85..=0x87 => {
                let len = usize::from(opcode - 0x84);
                self.tuple(self.below(len)?)?;
            }
            b't' => {
                let height = self.pop_mark()?;
                self.tuple(height)?;
            }
            // APPEND, APPENDS, SETITEM, SETITEMS, ADDITEMS, FROZENSET
            b'a' => self.append(self.below(1)?)?,
            b'e' => {
                let height = self.pop_mark()?;
                self.append(height)?;
            }
            b's' => self.set_items(self.below(2)?)?,
            b'u' => {
                let height = self.pop_mark()?;
                self.set_items(height)?;
            }
            0x90 => {
                let height = self.pop_mark()?;
                self.stack.truncate(height);
                self.top()?;
            }
            0x91 => {
                let height = self.pop_mark()?;
                self.stack.truncate(height);
                self.push(Value::Opaque);
            }
            // GLOBAL, STACK_GLOBAL
            b'c' => {
                let module = Value::Text(self.cursor.line()?);
                let name = Value::Text(self.cursor.line()?);
                let (module, name) = (self.graph.add(module), self.graph.add(name));
                self.push(Value::Global { module, name });
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                if self.graph.text(module).is_none() || self.graph.text(name).is_none() {
                    return Err(self.error("STACK_GLOBAL without two names"));
                }
                self.push(Value::Global { module, name });
            }
            // REDUCE and NEWOBJ, NEWOBJ_EX, BUILD: records of Python's calls
            b'R' | 0x81 => {
                let (args, callee) = (self.pop()?, self.pop()?);
                self.object(callee, args)?;
            }
            0x92 => {
                let (_named, args, callee) = (self.pop()?, self.pop()?, self.pop()?);
                self.object(callee, args)?;
            }
            b'b' => {
                let (state, target) = (self.pop()?, self.top()?);
                if !self.graph.set_state(target, state) {
                    return Err(self.error("BUILD of something that is not an object"));
                }
            }
            // BINPERSID
            b'Q' => {
                let id = self.pop()?;
                self.push(Value::Persistent(id));
            }
            // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
            b'q' => {
                let index = self.cursor.u8()?;
                self.put(index.into())?;
            }
            b'r' => {
                let index = self.cursor.u32()?;
                self.put(index)?;
            }
            0x94 => self.put(self.memo.len() as u32)?,
            b'h' => {
                let index = self.cursor.u8()?;
                self.get(index.into())?;
            }
            b'j' => {
                let index = self.cursor.u32()?;
                self.get(index)?;
            }
            _ => return Err(self.error(refused(opcode))),
        }
        Ok(())
    }
}

/// Why an opcode is refused.
fn refused(opcode: u8) -> String {
    let name = match opcode {
        b'F' => "FLOAT",
        b'I' => "INT",
        b'L' => "LONG",
        b'S' => "STRING",
        b'V' => "UNICODE",
        b'P' => "PERSID",
        b'g' => "GET",
        b'p' => "PUT",
        b'd' => "DICT",
        b'l' => "LIST",
        b'i' => "INST",
        b'o' => "OBJ",
        0x82..=0x84 => "EXT",
        0x97 => "NEXT_BUFFER",
        0x98 => "READONLY_BUFFER",
        _ => return format!("unknown opcode 0x{opcode:02x}; the file is damaged or no pickle"),
    };
    format!("opcode {name}, which torch.save does not write with pickle protocols 2 to 5")
}

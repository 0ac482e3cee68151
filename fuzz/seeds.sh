#!/bin/sh
# Fills corpus/<target>/ with inputs to start from, made of the fixtures of the crates.
set -eu
cd "$(dirname "$0")"
clip=../crates/flora-clip/tests/fixtures
lora=../crates/flora-lora/tests/fixtures
torch=../crates/flora-torch/tests/fixtures

# seed TARGET: standard input becomes a seed, called after its contents.
seed() {
    mkdir -p "corpus/$1"
    cat > corpus/new
    mv corpus/new "corpus/$1/$(sha1sum < corpus/new | cut -c 1-40)"
}

mkdir -p corpus
for file in "$torch"/*; do
    seed torch_file < "$file"
done

for file in "$lora"/*.safetensors "$lora"/*/*.safetensors "$clip"/tiny-clip-lora/*.safetensors; do
    seed safetensors < "$file"
done

# sums TYPE SIZE: a file of sums in 2 dimensions over 2 classes, without the 9 numbers, of so many bytes each.
sums() {
    size=$2
    head=$(printf '{"closed_form.class_counts":{"dtype":"%s","shape":[2],"data_offsets":[0,%d]},"closed_form.class_sums":{"dtype":"%s","shape":[2,2],"data_offsets":[%d,%d]},"closed_form.gram":{"dtype":"%s","shape":[3],"data_offsets":[%d,%d]}}' \
        "$1" $((2 * size)) "$1" $((2 * size)) $((6 * size)) "$1" $((6 * size)) $((9 * size)))
    length=${#head}
    printf "\\$(printf %03o $((length % 256)))\\$(printf %03o $((length / 256)))\000\000\000\000\000\000"
    printf %s "$head"
}
# Two images of the first class, (1, 0) and (0, 1), and one of the second, (0, 1).
one='\000\000\200\077' none='\000\000\000\000' two='\000\000\000\100'
{ sums F32 4; printf "$two$one$one$one$none$one$one$none$two"; } | seed moments
one='\000\074' none='\000\000' two='\000\100'
{ sums F16 2; printf "$two$one$one$one$none$one$one$none$two"; } | seed moments

for folder in "$lora"/*/ "$clip"/tiny-clip-lora/; do
    { cat "$folder/adapter_config.json"; printf '\0'; cat "$folder/adapter_model.safetensors"; } |
        seed peft_adapter
done

# case_of BYTE FILE: the byte chooses the file that is fuzzed.
case_of() {
    { printf "\\$1"; cat "$2"; } | seed checkpoint
}
for file in "$clip"/*/config.json; do case_of 000 "$file"; done
case_of 001 "$clip/tiny-clip/preprocessor_config.json"
case_of 002 "$clip/tiny-clip/vocab.json"
case_of 003 "$clip/tiny-clip/merges.txt"
case_of 004 "$clip/openclip/tokenizer.json"
# A small one, of which more inputs change what is not vocabulary.
{ printf '\004'; cat <<'JSON'; } | seed checkpoint
{"version":"1.0","truncation":null,"padding":null,
"added_tokens":[{"id":3,"content":"<|endoftext|>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"Regex":"\\s+"},"content":" "},{"type":"Lowercase"}]},
"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"[\\p{L}]+|[\\p{N}]"},"behavior":"Removed","invert":true},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]},
"post_processor":{"type":"RobertaProcessing","sep":["<|endoftext|>",3],"cls":["<|startoftext|>",2],"trim_offsets":false,"add_prefix_space":false},
"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
"model":{"type":"BPE","dropout":null,"unk_token":"<|endoftext|>","continuing_subword_prefix":"","end_of_word_suffix":"</w>","fuse_unk":false,"byte_fallback":false,"ignore_merges":false,
"vocab":{"a":0,"t</w>":1,"<|startoftext|>":2,"<|endoftext|>":3,"at</w>":4},"merges":[["a","t</w>"]]}}
JSON
case_of 005 "$clip/hf-sharded/model.safetensors.index.json"
for file in "$clip"/*/open_clip_config.json; do case_of 006 "$file"; done
for file in "$clip"/hf-sharded/*.safetensors; do case_of 007 "$file"; done

images='\000\000\010\003\000\000\000\003\000\000\000\001\000\000\000\001\001\002\003'
printf "\\000$images" | seed idx
{ printf '\000'; printf "$images" | gzip -9; } | seed idx
labels='\000\000\010\001\000\000\000\003\000\001\002'
printf "\\001$labels" | seed idx
{ printf '\001'; printf "$labels" | gzip -9; } | seed idx

for file in ../datasets/*.toml ../datasets/*/*.toml; do
    seed dataset < "$file"
done
for pattern in 'plain/{class}' 'split/{split}/{class}' 'images/{domain}/{split}/{class}'; do
    printf 'name = "seed"\n[layout]\nkind = "image-folder"\npattern = "%s"\n' "$pattern" | seed dataset
done
seed dataset <<'TOML'
name = "seed"
template = "a digit, {}"
layout.kind = "idx"
layout.train_images = "images.idx"
layout.train_labels = "labels.idx"
layout.test_images = "images.idx"
layout.test_labels = "labels.idx"
layout.invert = true
[[classes]]
name = "zero"
[[classes]]
name = "one"
TOML
seed dataset <<'TOML'
name = "seed"
[layout]
kind = "image-folder"
pattern = "split/{split}/{class}"
splits.train = ["train"]
splits.test = "test"
[[classes]]
name = "cats"
folder = "cat"
[[classes]]
name = "dogs"
folder = "dog"
TOML

for name in clip-nano ./clip-nano vit-base-patch32 hf:a/b hf:a_b/c.d@refs/pr/7 hf:a/b@main ViT-B-32.pt; do
    printf %s "$name" | seed hub_source
done

# message HEAD: flora's own form of a message, without the values.
message() {
    printf %s "$1" | gzip -9n | tail -c +11 | head -c -8 > corpus/head
    printf 'FLM1'
    printf "\\$(printf %03o "$(wc -c < corpus/head)")\000\000\000"
    cat corpus/head
    rm corpus/head
}
head='{"config":{"flora.round":3,"mu":0.5,"on":true,"run":"a","key":{"base64":"AP8="}},"metrics":{"loss":{"f64":"7ff8000000000001"},"num-examples":12.0},"records":{"parameters":[["w",TYPE,[2]],["b","f16",[]]]}}'
for type in '"f32"' '"bf16"' '"f16"'; do
    tensors=$(printf %s "$head" | sed "s/TYPE/$type/")
    { printf '\000'; message "$tensors"; printf '\000\000\200\077\000\000'; } | seed flower_message
done
{ printf '\000'; message "$(printf %s "$head" | sed 's/TYPE/"f32"/')"; printf '\000\000\200\077\000\000\200\077\001\002'; } | seed flower_message
{ printf '\012'; message "$(printf %s "$head" | sed 's/TYPE/"f32"/')"; printf '\000\000\200\077\000\000\200\077\001\002'; } | seed flower_message

# object FORMAT: its length, and the bytes that printf makes of it.
object() {
    printf "$1" > corpus/object
    printf "\\$(printf %03o "$(wc -c < corpus/object)")\000\000"
    cat corpus/object
    rm corpus/object
}
error='Message  8\000\012\000\032\004\022\002no'
object "$error" | seed flower_objects
settings() {
    object "$1  0\000"
    object 'RecordDict @\000 77\000{"config":"@\000"}'
    object 'Message @\001 2\000\012\000'
}
settings ConfigRecord | seed flower_objects
settings MetricRecord | seed flower_objects
{
    object 'ArrayChunk  136\000\223NUMPY\001\000v\000{"descr": "<f4", "fortran_order": False, "shape": (2,), }                                                            \n\000\000\200\077\000\000\000\100'
    object 'Array @\000 76\000{"dtype":"float32","shape":[2],"stype":"numpy.ndarray","arraychunk_ids":[0]}'
    object 'ArrayRecord @\001 72\000{"w":"@\001"}'
    object 'RecordDict @\002 77\000{"arrays":"@\002"}'
    object 'Message @\003 2\000\012\000'
} | seed flower_objects

# Messages of secure aggregation, in hexadecimal in the fixture.
grep -o '"[0-9a-f]\{100,\}"' ../crates/flora-secagg/tests/fixtures/protocol.json | tr -d '"' | tr a-f A-F |
    while read -r message; do
        printf %s "$message" | basenc --base16 -d | seed secagg_message
    done

# Stages of SecAgg+.
printf '\001\012\020\012\005stage\022\007\052\005setup' | seed secaggplus
printf '\002\012\025\012\005stage\022\014\052\012share_keys' | seed secaggplus

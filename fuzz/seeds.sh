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

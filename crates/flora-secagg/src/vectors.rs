//! The published test vectors of every primitive, through the functions that the protocol calls.

use ed25519_dalek::{Signer, SigningKey};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::{
    crypto::{self, Sign, Signed},
    secrets,
};

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn hex32(text: &str) -> [u8; 32] {
    hex(text).try_into().unwrap()
}

#[test]
fn sha_256_of_fips_180() {
    for (text, expected) in [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
    ] {
        assert_eq!(Sha256::digest(text).as_slice(), hex32(expected));
    }
}

#[test]
fn x25519_of_rfc_7748() {
    let alice = StaticSecret::from(hex32(
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
    ));
    let bob = StaticSecret::from(hex32(
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
    ));
    let public = [
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    ]
    .map(hex32);
    assert_eq!([&alice, &bob].map(secrets::public), public);
    let shared = hex32("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_eq!(*crypto::agree(&alice, &public[1]).unwrap(), shared);
    assert_eq!(*crypto::agree(&bob, &public[0]).unwrap(), shared);
}

#[test]
fn keys_of_small_order_agree_on_nothing() {
    let secret = StaticSecret::from([7; 32]);
    let order_8 = hex32("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
    let mut one = [0; 32];
    one[0] = 1;
    for key in [[0; 32], one, order_8] {
        assert!(crypto::agree(&secret, &key).is_none());
    }
}

#[test]
fn ed25519_of_rfc_8032() {
    for (secret, public, message, signature) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b\
             d25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c\
             387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ] {
        let identity = SigningKey::from_bytes(&hex32(secret));
        assert_eq!(identity.verifying_key().to_bytes(), hex32(public));
        let found = identity.sign(&hex(message));
        assert_eq!(found.to_bytes().to_vec(), hex(signature));
        identity.verifying_key().verify_strict(&hex(message), &found).unwrap();
    }
}

#[test]
fn signatures_that_are_verified_together_are_as_alone() {
    let setup = [4; 32];
    let identity = |i: u8| SigningKey::from_bytes(&[i + 1; 32]);
    for count in [0, 1, 2, 35, 95, 200] {
        let signed = |wrong: &[usize]| -> Vec<Signed> {
            let one = |i: usize| {
                let key = identity(i as u8);
                let mut signature = crypto::sign(&key, "a", &setup, &[&[i as u8]]);
                signature[i % 64] ^= u8::from(wrong.contains(&i));
                Signed::new(key.verifying_key(), "a", &setup, &[&[i as u8]], &signature)
            };
            (0..count).map(one).collect()
        };
        assert_eq!(crypto::first_wrong(&signed(&[])), None, "{count}");
        for wrong in (0..count).step_by(7) {
            assert_eq!(crypto::first_wrong(&signed(&[wrong])), Some(wrong));
            assert_eq!(crypto::first_wrong(&signed(&[count - 1, wrong])), Some(wrong));
        }
        // Each of another message: the sum of all equations has to notice.
        if count > 1 {
            let mut all = signed(&[]);
            let swapped = crypto::sign(&identity(0), "b", &setup, &[&[0]]);
            all[0] = Signed::new(identity(0).verifying_key(), "a", &setup, &[&[0]], &swapped);
            assert_eq!(crypto::first_wrong(&all), Some(0));
        }
    }
    // The neutral element as a key, under which (R, s) = (1, 0) is a signature of everything: not a strict one.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let weak = ed25519_dalek::VerifyingKey::from_bytes(&neutral).unwrap();
    let signature: [u8; 64] = [neutral, [0; 32]].concat().try_into().unwrap();
    let all = [Signed::new(weak, "a", &setup, &[], &signature)];
    assert_eq!(crypto::first_wrong(&all), Some(0));
}

#[test]
fn hkdf_of_rfc_5869() {
    let mut key = [0; 42];
    let salt: Vec<u8> = (0..13).collect();
    let info: Vec<u8> = (0xf0..0xfa).collect();
    Hkdf::<Sha256>::new(Some(&salt), &[0x0b; 22]).expand(&info, &mut key).unwrap();
    let expected =
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
    assert_eq!(key.to_vec(), hex(expected));
}

#[test]
fn chacha20_of_rfc_8439() {
    // Appendix A.1, vectors 1 and 2: the key of zeros, counters 0 and 1.
    let stream = hex(
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a37\
             6a43b8f41518a11cc387b669b2ee65869f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed\
             29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
    );
    let words: Vec<u32> =
        stream.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let mut lanes = vec![0; 32];
    crypto::mask(&mut lanes, &Zeroizing::new([0; 32]), Sign::Plus);
    assert_eq!(lanes, words);
    crypto::mask(&mut lanes, &Zeroizing::new([0; 32]), Sign::Minus);
    assert_eq!(lanes, [0; 32]);
}

#[test]
fn masks_of_all_lengths_begin_alike_and_leave_nothing_behind() {
    let key = Zeroizing::new([9; 32]);
    let mut long = vec![0; 5000];
    crypto::mask(&mut long, &key, Sign::Plus);
    for length in [1, 15, 16, 17, 1023, 1024, 1025, 2048, 4999] {
        let mut lanes = vec![5; length];
        crypto::mask(&mut lanes, &key, Sign::Plus);
        assert!(lanes.iter().zip(&long).all(|(lane, word)| *lane == word.wrapping_add(5)));
        crypto::mask(&mut lanes, &key, Sign::Minus);
        assert!(lanes.iter().all(|lane| *lane == 5));
    }
}

#[test]
fn chacha20_poly1305_of_rfc_8439() {
    // Section 2.8.2.
    let key = Zeroizing::new(std::array::from_fn(|i| 0x80 + i as u8));
    let nonce: [u8; 12] = hex("070000004041424344454647").try_into().unwrap();
    let bound = hex("50515253c0c1c2c3c4c5c6c7");
    let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
        sunscreen would be it.";
    let sealed = hex(
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b\
             1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc\
             3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
    );
    assert_eq!(crypto::seal(&key, &nonce, &bound, plain), sealed);
    assert_eq!(crypto::open(&key, &nonce, &bound, &sealed).unwrap().as_slice(), plain);
    for bit in 0..8 * sealed.len() {
        let mut other = sealed.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(crypto::open(&key, &nonce, &bound, &other).is_none());
    }
    assert!(crypto::open(&key, &nonce, b"", &sealed).is_none());
}

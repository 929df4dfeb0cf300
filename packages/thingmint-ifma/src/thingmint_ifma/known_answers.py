"""Owns the numbers of 1024 bits of which it is known what they are, and what Miller-Rabin says of them."""

# The largest prime below 2^1024, and the prime of the second Oakley group (RFC 2409, 6.2).
LARGEST_PRIME = (1 << 1024) - 105
OAKLEY_PRIME = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF",
    16,
)
# A prime whose predecessor is divisible by 2^64, so that a round may take up to 64 exponentiations.
HALVABLE_PRIME = int(
    "f637facdc86cb2a178603d0056dd34fbf237eb4374a89438faabac828c3a9c58d7b73ceadec27a98cb28dcd70c49c999"
    "e93c7617a7077e668ae7a701ad4b8026df862a39be873fe7f464d9a2f03132eadb6fdd5c239b45eec63e3ea1e0fbc5a9"
    "51d87b87d90e6cf22c3357fbd8076f63e558cc34586426d50000000000000001",
    16,
)
# A Carmichael number of Chernick's form (6k + 1)(12k + 1)(18k + 1): every base coprime to it passes Fermat's test.
CARMICHAEL_NUMBER = int(
    "cd5e76bf36302accd3966c75d6cd296cd5f8a87c6d81df924f20c7e913045bf63dceada37da7396c0a5e96f1b8979470"
    "09a179a7f809f38394b6e5ac011b65035011872b3cb10cb900def1a46e03f0602a98e898dec0a55b179e919078895fed"
    "3dbae28e42e8f2390164f3182c23db55674eb7f625b8785033537f4cf0e4aac1",
    16,
)
# Made by Arnault's method (Rabin-Miller primality test: composite numbers which pass it, 1995): p, 37 (p - 1) + 1 and
# 41 (p - 1) + 1 are prime, and p is such that the primes up to 23 are no squares modulo any of them.
ARNAULT_COMPOSITE = int(
    "0eb44b3db03166f0a9f55d03b00d8ac50ded8f78242d08b852ae2997de673ad052c3a32083cfeb44843b18c142be4f17"
    "bb51f6896d753d7eea30715134094279a680ece9c6be574e060228c280f9f1c3c88a9f6a60da4e5d8c8331232a9c8d32"
    "f179527021aa4b2f32883bae7fb815925d4736d579bc8aa8413e346115bf853cb",
    16,
)

# Modulus, base, and whether it passes: eight at a time.
ROUNDS: tuple[tuple[int, int, bool], ...] = (
    (LARGEST_PRIME, 2, True),
    (LARGEST_PRIME, 3, True),
    (OAKLEY_PRIME, 2, True),
    (OAKLEY_PRIME, 5, True),
    (HALVABLE_PRIME, 2, True),
    (HALVABLE_PRIME, 19, True),
    (HALVABLE_PRIME, 23, True),
    (HALVABLE_PRIME, pow(3, 1 << 60, HALVABLE_PRIME), True),
    (CARMICHAEL_NUMBER, 2, False),
    (CARMICHAEL_NUMBER, 3, False),
    (CARMICHAEL_NUMBER, 5, False),
    (CARMICHAEL_NUMBER, 21, True),
    (ARNAULT_COMPOSITE, 2, True),
    (ARNAULT_COMPOSITE, 23, True),
    (ARNAULT_COMPOSITE, 29, False),
    (ARNAULT_COMPOSITE, 31, False),
)
# Odd numbers, and whether they pass trial division; the last has no small factor, but is 1 modulo 65537.
SIEVED: tuple[tuple[int, bool], ...] = (
    (LARGEST_PRIME, True),
    (OAKLEY_PRIME, True),
    (CARMICHAEL_NUMBER, True),
    (ARNAULT_COMPOSITE, True),
    (3 * ((1 << 1023) // 3 | 1), False),
    (16381 * ((1 << 1023) // 16381 | 1), False),
    ((1 << 1023) - 98305, False),
)

/* Eight candidates at a time, each replaced as soon as it is decided. */

#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <crypto_mb/cpu_features.h>
#include <crypto_mb/exp.h>

#include "search.h"
#include "sieve.h"

/* The most that getrandom gives without being interrupted is 256 bytes; more at a time costs fewer calls. */
#define DRAWN_AT_ONCE 4096
/* floor(sqrt(2) * 2^63): a number whose highest word is larger is larger than sqrt(2) * 2^1023 (FIPS 186-5, A.1.3). */
#define SQRT2 0xB504F333F9DE6484ULL

struct Search {
    size_t size; /* 0 in a fork, where the system has overwritten the whole search */
    int begun;
    int passed[LANES]; /* rounds that the candidate of the lane has passed */
    Round rounds[LANES];
    size_t left;
    uint8_t random[DRAWN_AT_ONCE];
    uint8_t scratch[] __attribute__((aligned(64)));
};

int search_is_applicable(void)
{
    /* The library asks the processor at each call, which takes tens of microseconds in a virtual machine. */
    static int known, applicable;
    if (!known) {
        applicable = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                     __builtin_cpu_supports("avx512ifma") && mbx_get_algo_info(MBX_ALGO_EXP_1K) != 0;
        known = 1;
    }
    return applicable;
}

int scratch_bytes(void)
{
    return mbx_exp_BufferSize(BITS);
}

SearchOutcome powers(uint64_t results[LANES][WORDS], const uint64_t bases[LANES][WORDS],
                     const uint64_t exponents[LANES][WORDS], const uint64_t moduli[LANES][WORDS], uint8_t *scratch)
{
    int64u *result[LANES];
    const int64u *base[LANES], *exponent[LANES], *modulus[LANES];
    for (int lane = 0; lane < LANES; lane++) {
        result[lane] = (int64u *)results[lane];
        base[lane] = (const int64u *)bases[lane];
        exponent[lane] = (const int64u *)exponents[lane];
        modulus[lane] = (const int64u *)moduli[lane];
    }
    mbx_status status = mbx_exp1024_mb8(result, base, exponent, BITS, modulus, BITS, scratch, scratch_bytes());
    return status == MBX_STATUS_OK ? SEARCH_FOUND : SEARCH_LIBRARY;
}

/* Miller-Rabin */

static void shifted_right(uint64_t result[WORDS], const uint64_t number[WORDS], int bits)
{
    int words = bits / 64, rest = bits % 64;
    for (int word = 0; word < WORDS; word++) {
        uint64_t low = word + words < WORDS ? number[word + words] : 0;
        uint64_t high = word + words + 1 < WORDS ? number[word + words + 1] : 0;
        result[word] = rest ? low >> rest | high << (64 - rest) : low;
    }
}

static int is_one(const uint64_t number[WORDS])
{
    static const uint64_t one[WORDS] = {1};
    return memcmp(number, one, sizeof one) == 0;
}

static int is_halvable(const uint64_t number[WORDS], int halvings)
{
    return (number[halvings / 64] >> (halvings % 64) & 1) == 0;
}

/* The modulus n passes with base a if a^d = 1, where n - 1 = 2^s d and d is odd, or a^(2^r d) = -1 for an r below s.
 * Read from the other end: among a^((n-1)/2), a^((n-1)/4), ... a^d, the first that is not 1 must be -1. A composite
 * fails at the first of them nearly always, so that no lane waits for the squarings of another. */
static void judge(Round *round, const uint64_t power[WORDS])
{
    uint64_t minus_one[WORDS];
    memcpy(minus_one, round->modulus, BYTES);
    minus_one[0] -= 1;
    if (memcmp(power, minus_one, BYTES) == 0)
        round->verdict = PASSED;
    else if (!is_one(power))
        round->verdict = FAILED;
    else if (is_halvable(minus_one, round->halvings))
        round->halvings++;
    else
        round->verdict = PASSED;
    explicit_bzero(minus_one, BYTES);
}

/* Carry each undecided round on by one exponentiation; lanes that are decided compute for nothing. */
static SearchOutcome rounds_step(Round rounds[LANES], uint8_t *scratch)
{
    uint64_t results[LANES][WORDS], bases[LANES][WORDS], exponents[LANES][WORDS], moduli[LANES][WORDS];
    for (int lane = 0; lane < LANES; lane++) {
        memcpy(bases[lane], rounds[lane].base, BYTES);
        memcpy(moduli[lane], rounds[lane].modulus, BYTES);
        /* The modulus is odd, so shifting it takes one off, too. */
        shifted_right(exponents[lane], rounds[lane].modulus, rounds[lane].halvings);
    }
    SearchOutcome outcome = powers(results, bases, exponents, moduli, scratch);
    for (int lane = 0; lane < LANES && outcome == SEARCH_FOUND; lane++)
        if (rounds[lane].verdict == UNDECIDED)
            judge(&rounds[lane], results[lane]);
    explicit_bzero(results, sizeof results);
    explicit_bzero(bases, sizeof bases);
    explicit_bzero(exponents, sizeof exponents);
    explicit_bzero(moduli, sizeof moduli);
    return outcome;
}

SearchOutcome rounds_decide(Round rounds[LANES], uint8_t *scratch)
{
    for (int undecided = 1; undecided;) {
        SearchOutcome outcome = rounds_step(rounds, scratch);
        if (outcome != SEARCH_FOUND)
            return outcome;
        undecided = 0;
        for (int lane = 0; lane < LANES; lane++)
            undecided += rounds[lane].verdict == UNDECIDED;
    }
    return SEARCH_FOUND;
}

/* Candidates and bases */

static SearchOutcome draw(Search *search, void *target, size_t count)
{
    if (search->left < count) {
        size_t filled = 0;
        search->left = 0;
        while (filled < DRAWN_AT_ONCE) {
            ssize_t got = getrandom(search->random + filled, DRAWN_AT_ONCE - filled, 0);
            if (got <= 0)
                return SEARCH_NO_RANDOM;
            filled += (size_t)got;
        }
        search->left = DRAWN_AT_ONCE;
    }
    uint8_t *from = search->random + DRAWN_AT_ONCE - search->left;
    memcpy(target, from, count);
    explicit_bzero(from, count);
    search->left -= count;
    return SEARCH_FOUND;
}

/* A base from 2 to modulus - 2, each equally likely. */
static SearchOutcome draw_base(Search *search, Round *round)
{
    for (;;) {
        SearchOutcome outcome = draw(search, round->base, BYTES);
        if (outcome != SEARCH_FOUND)
            return outcome;
        int word = WORDS - 1;
        while (word > 0 && round->base[word] == round->modulus[word])
            word--;
        /* A base that equals the modulus but for its lowest word is not worth telling from modulus - 1. */
        int is_below = word > 0 && round->base[word] < round->modulus[word];
        int is_above_one = 0;
        for (word = 1; word < WORDS; word++)
            is_above_one |= round->base[word] != 0;
        if (is_below && is_above_one)
            return SEARCH_FOUND;
    }
}

/* An odd number above sqrt(2) * 2^1023 without small factors. Each has bits of its own: none is next to another. */
static SearchOutcome draw_candidate(Search *search, Round *round)
{
    SearchOutcome outcome;
    do {
        outcome = draw(search, round->modulus, BYTES);
        while (outcome == SEARCH_FOUND && round->modulus[WORDS - 1] <= SQRT2)
            outcome = draw(search, &round->modulus[WORDS - 1], sizeof(uint64_t));
        round->modulus[0] |= 1;
    } while (outcome == SEARCH_FOUND && !sieve_passes(round->modulus));
    return outcome;
}

static SearchOutcome begin_round(Search *search, int lane)
{
    Round *round = &search->rounds[lane];
    round->halvings = 1;
    round->verdict = UNDECIDED;
    return draw_base(search, round);
}

static SearchOutcome replace_candidate(Search *search, int lane)
{
    SearchOutcome outcome = draw_candidate(search, &search->rounds[lane]);
    search->passed[lane] = 0;
    return outcome == SEARCH_FOUND ? begin_round(search, lane) : outcome;
}

Search *search_begin(void)
{
    size_t size = sizeof(Search) + (size_t)scratch_bytes();
    Search *search = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (search == MAP_FAILED)
        return NULL;
    /* A kernel that cannot overwrite it in a fork, which all since 4.14 can, is refused: two processes that go on with
     * the same candidates would find the same primes. Where memory cannot be locked or left out of dumps, it is not. */
    if (madvise(search, size, MADV_WIPEONFORK) != 0) {
        munmap(search, size);
        return NULL;
    }
    madvise(search, size, MADV_DONTDUMP);
    mlock(search, size);
    search->size = size;
    return search;
}

static SearchOutcome fill_lanes(Search *search)
{
    for (int lane = 0; lane < LANES; lane++) {
        SearchOutcome outcome = replace_candidate(search, lane);
        if (outcome != SEARCH_FOUND)
            return outcome;
    }
    search->begun = 1;
    return SEARCH_FOUND;
}

/* After an exponentiation: begin the next round, or replace a composite; a prime waits in its lane. */
static SearchOutcome settle(Search *search, int lane)
{
    Round *round = &search->rounds[lane];
    if (search->passed[lane] == ROUNDS || round->verdict == UNDECIDED)
        return SEARCH_FOUND;
    if (round->verdict == FAILED)
        return replace_candidate(search, lane);
    search->passed[lane]++;
    return search->passed[lane] == ROUNDS ? SEARCH_FOUND : begin_round(search, lane);
}

SearchOutcome search_find(Search *search, int count, uint64_t primes[][WORDS])
{
    /* The system sets the size to 0 in a fork. */
    if (search->size == 0)
        return SEARCH_AFTER_FORK;
    SearchOutcome outcome = search->begun ? SEARCH_FOUND : fill_lanes(search);
    for (int found = 0; outcome == SEARCH_FOUND;) {
        for (int lane = 0; lane < LANES && found < count && outcome == SEARCH_FOUND; lane++)
            if (search->passed[lane] == ROUNDS) {
                memcpy(primes[found++], search->rounds[lane].modulus, BYTES);
                outcome = replace_candidate(search, lane);
            }
        if (found == count || outcome != SEARCH_FOUND)
            break;
        outcome = rounds_step(search->rounds, search->scratch);
        for (int lane = 0; lane < LANES && outcome == SEARCH_FOUND; lane++)
            outcome = settle(search, lane);
    }
    return outcome;
}

void search_end(Search *search)
{
    size_t size = search->size;
    if (size == 0) /* a fork, where everything is overwritten already */
        size = sizeof(Search) + (size_t)scratch_bytes();
    explicit_bzero(search, size);
    munmap(search, size);
}

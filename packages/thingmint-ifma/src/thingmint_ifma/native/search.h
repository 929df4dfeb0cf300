/* Owns the search: random candidates, their Miller-Rabin rounds, and the memory that they are in.
 * The exponentiations are Intel's crypto_mb. Knows no Python and no key. */
#ifndef THINGMINT_IFMA_SEARCH_H
#define THINGMINT_IFMA_SEARCH_H

#include "numbers.h"

/* FIPS 186-5, table B.1: for primes of 1024 bits. */
#define ROUNDS 5

typedef enum {
    SEARCH_FOUND = 0,
    SEARCH_NO_MEMORY,    /* the system gives no memory */
    SEARCH_NO_RANDOM,    /* the system gives no random bytes */
    SEARCH_LIBRARY,      /* the library reports an error */
    SEARCH_AFTER_FORK,   /* this process is a fork of the one that began the search */
} SearchOutcome;

typedef enum { UNDECIDED = 0, PASSED, FAILED } Verdict;

/* One Miller-Rabin round with one base, as far as it has come. */
typedef struct {
    uint64_t modulus[WORDS];
    uint64_t base[WORDS];
    int halvings; /* the next exponent is (modulus - 1) / 2^halvings */
    Verdict verdict;
} Round;

typedef struct Search Search;

/* Return whether the processor has what this package needs, as far as the library and the compiler can tell. */
int search_is_applicable(void);

/* Return a search, or NULL if the system gives no memory. A fork of the process cannot go on with it. */
Search *search_begin(void);

/* Find `count` primes, 1024 bits each, independent of each other, and write them one after the other. */
SearchOutcome search_find(Search *search, int count, uint64_t primes[][WORDS]);

/* Overwrite everything and give the memory back. */
void search_end(Search *search);

/* Carry eight rounds on until each is decided; `scratch` is of `scratch_bytes()`. */
SearchOutcome rounds_decide(Round rounds[LANES], uint8_t *scratch);

/* Compute base^exponent modulo modulus in each lane. */
SearchOutcome powers(uint64_t results[LANES][WORDS], const uint64_t bases[LANES][WORDS],
                     const uint64_t exponents[LANES][WORDS], const uint64_t moduli[LANES][WORDS], uint8_t *scratch);

int scratch_bytes(void);

#endif

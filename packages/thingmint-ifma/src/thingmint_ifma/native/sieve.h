/* Owns trial division: which candidates have a small factor; draws none and keeps none. */
#ifndef THINGMINT_IFMA_SIEVE_H
#define THINGMINT_IFMA_SIEVE_H

#include "numbers.h"

/* Fill the tables of small primes, before anything else here is called; a second call does nothing. */
void sieve_prepare(void);

/* Return 1 if the odd candidate has no prime factor below 2^14 and candidate - 1 is coprime to 65537, else 0.
 * Needs AVX-512 F and DQ. */
int sieve_passes(const uint64_t candidate[WORDS]);

#endif

/* Trial division of one candidate by eight small primes at a time. */

#include <immintrin.h>

#include "sieve.h"

#define LARGEST (1 << 14)
/* There are 1899 odd primes below 2^14; the last group is filled up with the last of them. */
#define GROUP 8
#define GROUPS 238
#define DIGITS 32 /* of 32 bits each */
#define PUBLIC_EXPONENT 65537

/* For each group: its primes, their inverses, and 2^(32 i) modulo each prime for every digit i. */
static struct {
    uint64_t prime[GROUP];
    double inverse[GROUP];
    uint64_t weight[DIGITS][GROUP];
} groups[GROUPS] __attribute__((aligned(64)));

static int is_prime(uint32_t number)
{
    for (uint32_t divisor = 3; divisor * divisor <= number; divisor += 2)
        if (number % divisor == 0)
            return 0;
    return 1;
}

static void set_prime(int position, uint32_t prime)
{
    int group = position / GROUP, place = position % GROUP;
    uint64_t weight = 1;
    groups[group].prime[place] = prime;
    groups[group].inverse[place] = 1.0 / prime;
    for (int digit = 0; digit < DIGITS; digit++) {
        groups[group].weight[digit][place] = weight;
        weight = (weight << 32) % prime;
    }
}

void sieve_prepare(void)
{
    int position = 0;
    if (groups[GROUPS - 1].prime[GROUP - 1] != 0)
        return;
    uint32_t last = 3;
    for (uint32_t number = 3; number < LARGEST; number += 2)
        if (is_prime(number) && position < GROUPS * GROUP) {
            set_prime(position++, number);
            last = number;
        }
    while (position < GROUPS * GROUP)
        set_prime(position++, last);
}

/* The sum of digit * weight is below 32 * 2^32 * 2^14 = 2^51, so a double holds it exactly, and the quotient that is
 * found by multiplying by an inverse is wrong by one at most: the remainder of a multiple is 0, or the prime added or
 * subtracted once. */
__attribute__((target("avx512f,avx512dq"))) static int divides_any(int group, const uint32_t digits[DIGITS])
{
    __m512i even = _mm512_setzero_si512(), odd = _mm512_setzero_si512();
    for (int digit = 0; digit < DIGITS; digit += 2) {
        even = _mm512_add_epi64(even, _mm512_mul_epu32(_mm512_set1_epi64(digits[digit]),
                                                       _mm512_load_si512(groups[group].weight[digit])));
        odd = _mm512_add_epi64(odd, _mm512_mul_epu32(_mm512_set1_epi64(digits[digit + 1]),
                                                     _mm512_load_si512(groups[group].weight[digit + 1])));
    }
    __m512i sum = _mm512_add_epi64(even, odd);
    __m512i prime = _mm512_load_si512(groups[group].prime);
    __m512d quotient = _mm512_mul_pd(_mm512_cvtepi64_pd(sum), _mm512_load_pd(groups[group].inverse));
    __m512i rest = _mm512_sub_epi64(sum, _mm512_mullo_epi64(_mm512_cvttpd_epi64(quotient), prime));
    __mmask8 multiple = _mm512_cmpeq_epi64_mask(rest, _mm512_setzero_si512());
    multiple |= _mm512_cmpeq_epi64_mask(_mm512_abs_epi64(rest), prime);
    return multiple != 0;
}

/* 2^16 is -1 modulo 65537, so the remainder is the alternating sum of the digits of 16 bits. */
static int is_one_modulo_exponent(const uint64_t candidate[WORDS])
{
    int64_t sum = 0;
    for (int word = 0; word < WORDS; word++)
        for (int digit = 0; digit < 4; digit++) {
            int64_t value = (candidate[word] >> (16 * digit)) & 0xFFFF;
            sum += digit % 2 ? -value : value;
        }
    return (sum % PUBLIC_EXPONENT + PUBLIC_EXPONENT) % PUBLIC_EXPONENT == 1;
}

int sieve_passes(const uint64_t candidate[WORDS])
{
    uint32_t digits[DIGITS];
    int passes = 1;
    for (int digit = 0; digit < DIGITS; digit++)
        digits[digit] = (uint32_t)(candidate[digit / 2] >> (32 * (digit % 2)));
    for (int group = 0; group < GROUPS && passes; group++)
        passes = !divides_any(group, digits);
    passes = passes && !is_one_modulo_exponent(candidate);
    __builtin_memset(digits, 0, sizeof digits);
    __asm__ volatile("" : : "r"(digits) : "memory"); /* so that the line above is not left out */
    return passes;
}

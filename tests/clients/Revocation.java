// Validates, by Java's own PKIX provider with its revocation checker (RFC 5280, 6.3; RFC 6960), a path from each
// certificate to the root. Arguments: how (lists, addresses, ocsp), the address of OCSP, the file of CA certificates, the
// file of lists, then the certificates. Prints one line for each: "OK" or the reason.

import java.io.FileInputStream;
import java.io.InputStream;
import java.net.URI;
import java.security.cert.CertPath;
import java.security.cert.CertPathValidator;
import java.security.cert.CertStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.PKIXRevocationChecker.Option;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

public class Revocation {
    public static void main(String[] arguments) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        List<X509Certificate> authorities = new ArrayList<>();
        try (InputStream stream = new FileInputStream(arguments[2])) {
            for (Certificate each : factory.generateCertificates(stream)) {
                authorities.add((X509Certificate) each);
            }
        }
        X509Certificate issuer = authorities.get(0);
        X509Certificate root = authorities.get(authorities.size() - 1);
        for (int index = 4; index < arguments.length; index++) {
            try (InputStream stream = new FileInputStream(arguments[index])) {
                Certificate device = factory.generateCertificate(stream);
                CertPath path = factory.generateCertPath(List.of(device, issuer));
                CertPathValidator validator = CertPathValidator.getInstance("PKIX");
                PKIXRevocationChecker checker = (PKIXRevocationChecker) validator.getRevocationChecker();
                PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(root, null)));
                switch (arguments[0]) {
                    case "lists":
                        checker.setOptions(EnumSet.of(Option.PREFER_CRLS, Option.NO_FALLBACK));
                        try (InputStream lists = new FileInputStream(arguments[3])) {
                            parameters.addCertStore(CertStore.getInstance(
                                "Collection", new CollectionCertStoreParameters(factory.generateCRLs(lists))));
                        }
                        break;
                    case "addresses":
                        // The issuer's own certificate names no list.
                        checker.setOptions(
                            EnumSet.of(Option.PREFER_CRLS, Option.NO_FALLBACK, Option.ONLY_END_ENTITY));
                        break;
                    default:
                        checker.setOptions(EnumSet.of(Option.NO_FALLBACK));
                        checker.setOcspResponder(new URI(arguments[1]));
                }
                parameters.addCertPathChecker(checker);
                validator.validate(path, parameters);
                System.out.println("OK");
            } catch (Exception error) {
                System.out.println(error.getMessage());
            }
        }
    }
}

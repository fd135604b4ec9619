/** Prints for how many seconds this JVM keeps answers and failures of DNS, as it reads its own settings. */
class Policy {
    public static void main(String[] words) {
        System.out.println(sun.net.InetAddressCachePolicy.get() + " " + sun.net.InetAddressCachePolicy.getNegative());
    }
}
